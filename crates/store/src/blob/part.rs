//! Part: the name of a database's own part of a place.
//!
//! Comes in   nothing, or a name that was drawn before.
//! Goes out   the name.
//! Never      comes from anything that a copy of the database has as well: a copy that was given the
//!            same place would sweep up what is newer there.

use crate::house::Error;

/// The name of a database's own part of a place. It is drawn, and not told by anything that a copy
/// of the database has as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part(String);

impl Part {
    /// A name that nobody else draws.
    ///
    /// # Errors
    /// `Unavailable` where the system has no randomness.
    pub(crate) fn draw() -> Result<Part, Error> {
        let mut drawn = [0; 16];
        aws_lc_rs::rand::fill(&mut drawn)
            .map_err(|_| Error::Unavailable("the system has no randomness to give".into()))?;
        Ok(Part(format!("{:032x}", u128::from_be_bytes(drawn))))
    }

    /// A name that was drawn before.
    ///
    /// # Errors
    /// `Damaged` where it cannot have been.
    pub(crate) fn known(name: &str) -> Result<Part, Error> {
        match name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            true => Ok(Part(name.to_owned())),
            false => Err(Error::Damaged("the name of the contents' place is none".to_owned())),
        }
    }

    /// The name.
    pub(crate) fn name(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_name_that_was_not_drawn_is_no_name() {
        let (part, other) = (Part::draw().unwrap(), Part::draw().unwrap());
        assert_ne!(part, other);
        assert_eq!(Part::known(part.name()).unwrap(), part);
        let long = "a".repeat(33);
        for wrong in ["", "..", "../../../../../../../../elsewhere", &long, &part.name()[1..]] {
            assert!(matches!(Part::known(wrong), Err(Error::Damaged(_))), "{wrong:?}");
        }
    }
}
