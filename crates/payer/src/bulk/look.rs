//! Look: whose lines are decided now, and whose may still wait.
//!
//! Comes in   whether more can come; a share of the Patients.
//! Goes out   whether this is the last look at what is about somebody.
//! Never      depends on anything but an id: a look that is repeated decides on the same.

use exchange::Digest;

/// How lines are looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// What waits for its Patient has waited for long enough.
    pub(super) last: bool,
    /// Only of these Patients; others' turn comes.
    pub(super) share: Share,
}

/// Some of all Patients.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    /// Which share, from 0.
    pub(super) number: u64,
    /// Of so many.
    pub(super) of: u64,
}

impl Share {
    /// All Patients.
    pub(super) const ALL: Share = Share { number: 0, of: 1 };

    /// Whether a Patient is among them.
    pub(super) fn has(self, patient: &str) -> bool {
        let Digest(bytes) = Digest::of(patient.as_bytes());
        let number = bytes.iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        number % self.of == self.number
    }
}

impl Look {
    /// More may come.
    pub(super) const TO_COME: Look = Look { last: false, share: Share::ALL };

    /// Whether this is the last look at what is about a Patient.
    pub(super) fn ends_for(self, patient: &str) -> bool {
        self.last && self.share.has(patient)
    }

    /// Whether this is the last look at what is about nobody who can be named.
    pub(super) fn ends(self) -> bool {
        self.last && self.share.number + 1 == self.share.of
    }
}
