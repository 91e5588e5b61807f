//! Rotate: the steps of a key's life, each as one change of files.
//!
//! Comes in   which key, what its files say, the time; whether a person is in haste.
//! Goes out   the files of the next step, the public file that goes with them, and what comes next.
//! Never      signs with a key that partners cannot know yet, or drops one that somebody still relies
//!            on, unless told to.

use super::asked::KeyUse;
use super::place::{self, Stages, Stamps};
use crate::config;
use crate::limits::{KEYS_OVERLAP, TOKENS_KEEP, TOKENS_OVERLAP};
use exchange::partner::PublicFile;
use exchange::{Code, Digest, Issue};
use jiff::{SignedDuration, Timestamp};
use secrecy::zeroize::Zeroizing;
use std::path::{Path, PathBuf};
use store::LedgerKey;
use wire::SigningKey;
use wire::keys::KeyKind;

/// What a step did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// A key was drawn; it may be used from this time on.
    Announced {
        /// Its id.
        id: String,
        /// From when on others can know it.
        from: Timestamp,
    },
    /// It is too early: the announced key may be used from this time on.
    Waits {
        /// Its id.
        id: String,
        /// From when on others can know it.
        from: Timestamp,
    },
    /// The announced key is in use, the one before it is honoured still.
    Begun {
        /// Its id.
        id: String,
        /// Until when the one before it is needed.
        until: Timestamp,
    },
}

/// A key with three stages.
pub(super) struct Staged {
    /// What it is for.
    pub(super) usage: KeyUse,
    /// Where the one in use lies.
    pub(super) path: PathBuf,
}

impl Staged {
    /// The key of this use. Errors: `CommandInvalid` for one that has no stages.
    pub(super) fn of(config: &config::House, usage: KeyUse) -> Result<Staged, Issue> {
        let keys = &config.file.keys;
        let path = match usage {
            KeyUse::Signing => &keys.signing,
            KeyUse::Operator => &keys.operator,
            KeyUse::Tokens => &keys.tokens,
            _ => {
                let detail = "this key has no such step; `handover keys rotate` changes it";
                return Err(Issue::new(Code::CommandInvalid, detail).at("use"));
            }
        };
        Ok(Staged { usage, path: config.path(path) })
    }

    /// How long a new key is announced before it is used.
    fn overlap(&self) -> SignedDuration {
        match self.usage {
            KeyUse::Tokens => TOKENS_OVERLAP,
            // The command line and the house it asks share their files.
            KeyUse::Operator => SignedDuration::ZERO,
            _ => KEYS_OVERLAP,
        }
    }

    /// How long one that is in use no more is honoured.
    pub(super) fn keep(&self) -> SignedDuration {
        match self.usage {
            KeyUse::Tokens | KeyUse::Operator => TOKENS_KEEP,
            _ => KEYS_OVERLAP,
        }
    }

    /// Draws the next key, unless there is one.
    ///
    /// Errors: `KeyUnusable`.
    pub(super) fn announce(&self, kind: KeyKind, now: Timestamp) -> Result<Step, Issue> {
        let stages = self.settled()?;
        if stages.has_next {
            let (id, from) = self.next(&stages)?;
            return Ok(Step::Waits { id, from });
        }
        let text = self.draw(kind)?;
        let stamps = Stamps { made: Some(now), ..Stamps::default() };
        place::replace(&stages.next, &stamps.before(&text))?;
        Ok(Step::Announced { id: self.id(&text)?, from: now + self.overlap() })
    }

    /// Uses the announced key from now on, if others can know it by now.
    ///
    /// Errors: `KeyUnusable`.
    pub(super) fn begin(&self, haste: bool, now: Timestamp) -> Result<Step, Issue> {
        let stages = self.settled()?;
        let (id, from) = self.next(&stages)?;
        if from > now && !haste {
            return Ok(Step::Waits { id, from });
        }
        let (before, next) = (place::read(&stages.now)?, place::read(&stages.next)?);
        let ended = Stamps { ended: Some(now), ..Stamps::read(&before) };
        place::replace(&place::old_place(&self.path, &self.id(&before)?), &ended.before(&before))?;
        let begun = Stamps { begun: Some(now), ..Stamps::read(&next) };
        place::replace(&stages.now, &begun.before(&next))?;
        place::remove(&stages.next)?;
        Ok(Step::Begun { id, until: now + self.keep() })
    }

    /// Removes those that are in use no more and that nobody relies on by now; with haste all of them.
    /// Answers the ids of what went, and of what has to stay until when.
    ///
    /// Errors: `KeyUnusable`.
    pub(super) fn retire(&self, haste: bool, now: Timestamp) -> Result<Retired, Issue> {
        let stages = self.settled()?;
        let mut retired = Retired::default();
        for path in &stages.old {
            let text = place::read(path)?;
            let until = Stamps::read(&text).ended.map(|ended| ended + self.keep());
            let id = self.id(&text)?;
            match until.filter(|until| *until > now && !haste) {
                Some(until) => retired.kept.push((id, until)),
                None => {
                    place::remove(path)?;
                    retired.gone.push(id);
                }
            }
        }
        Ok(retired)
    }

    /// The files, after a step that was cut off has been brought to its end.
    fn settled(&self) -> Result<Stages, Issue> {
        let stages = place::stages(&self.path);
        let id = self.id(&place::read(&stages.now)?)?;
        if stages.has_next && self.id(&place::read(&stages.next)?)? == id {
            place::remove(&stages.next)?;
        }
        // What is in use is not out of use, whatever a cut left beside it.
        let twin = place::old_place(&self.path, &id);
        if stages.old.contains(&twin) {
            place::remove(&twin)?;
        }
        Ok(place::stages(&self.path))
    }

    /// The announced key: its id, and from when on it may be used.
    fn next(&self, stages: &Stages) -> Result<(String, Timestamp), Issue> {
        if !stages.has_next {
            let detail = "no key is announced: `handover keys new` draws one";
            return Err(Issue::new(Code::KeyUnusable, detail));
        }
        let text = place::read(&stages.next)?;
        let made = Stamps::read(&text).made.unwrap_or_else(|| place::written(&stages.next));
        Ok((self.id(&text)?, made + self.overlap()))
    }

    /// The id of a key by its file's text.
    pub(super) fn id(&self, text: &str) -> Result<String, Issue> {
        match self.usage {
            KeyUse::Tokens => Ok(Digest::of(place::bare(text).trim().as_bytes()).to_string()),
            _ => Ok(SigningKey::from_pem(text)?.kid().to_owned()),
        }
    }

    fn draw(&self, kind: KeyKind) -> Result<place::Secret, Issue> {
        match self.usage {
            KeyUse::Tokens => draw_secret(),
            _ => Ok(SigningKey::generate_as(kind)?.secret_pem()),
        }
    }
}

/// 32 drawn bytes, in hexadecimal digits.
pub(super) fn draw_secret() -> Result<place::Secret, Issue> {
    let pem = SigningKey::generate()?.secret_pem();
    Ok(Zeroizing::new(Digest::of(pem.as_bytes()).to_string()))
}

/// What of old keys went and what stays.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Retired {
    /// Ids of what is gone.
    pub(super) gone: Vec<String>,
    /// Ids of what is honoured still, and until when.
    pub(super) kept: Vec<(String, Timestamp)>,
}

/// Before the secret of tokens changes for the first time: what members are named by in a payer's
/// ledger, and the URLs of files that a payer was told of, follow from it, and must stay as they are.
///
/// Errors: `KeyUnusable`.
pub(super) fn keep_members(tokens: &Path) -> Result<(), Issue> {
    let place = place::members_place(tokens);
    if place.is_file() {
        return Ok(());
    }
    let secret = place::members_secret(tokens)?;
    place::replace(&place, &Zeroizing::new(Digest(*secret).to_string()))
}

/// Writes the house's public keys and authority as they are now into `public.json`; whether partners
/// who have the file need the new one.
///
/// Errors: `KeyUnusable`, `ConfigInvalid`.
pub(super) fn publish(config: &config::House) -> Result<bool, Issue> {
    let place = config.folder.join("public.json");
    if !place.is_file() {
        return Ok(false);
    }
    let text = config::read_text(&place)?;
    let before = PublicFile::parse(&text, "public.json")?;
    let keys = place::own_keys(&config.path(&config.file.keys.signing))?;
    let ledger: LedgerKey = place::ledger_key(config)?;
    let mut public = before.clone();
    // Who names a URL instead has the keys there.
    if !public.jwks.is_null() {
        public.jwks = keys.jwks();
    }
    public.ledger_key = Digest(ledger.public()).to_string();
    if let Some(tls) = &config.file.tls {
        public.authority = config.text(&tls.authority)?;
    }
    if public == before {
        return Ok(false);
    }
    let text = serde_json::to_string_pretty(&public).unwrap_or_default();
    config::write_text(&place, &(text + "\n")).map(|()| true)
}

/// A path in words that fit a line.
pub(super) fn shown(config: &config::House, path: &Path) -> String {
    path.strip_prefix(&config.folder).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    //! Goal: a key is announced, used, honoured and gone, in that order, whenever a step is cut off.

    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    fn at(hours: i64) -> Timestamp {
        let start: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        start + SignedDuration::from_hours(hours)
    }

    fn signing(folder: &Path) -> Staged {
        let path = folder.join("signing.pem");
        SigningKey::generate().unwrap().write(&path).unwrap();
        Staged { usage: KeyUse::Signing, path }
    }

    fn kids(staged: &Staged) -> Vec<String> {
        let jwks = place::own_keys(&staged.path).unwrap().jwks();
        let keys = jwks["keys"].as_array().unwrap().iter();
        keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_new_key_waits_until_others_can_know_it_and_an_old_one_until_nobody_needs_it() {
        let folder = tempfile::tempdir().unwrap();
        let staged = signing(folder.path());
        let first = kids(&staged);
        let Step::Announced { id, from } = staged.announce(KeyKind::Es384, at(0)).unwrap() else {
            panic!("announced");
        };
        assert_eq!((kids(&staged), from), (vec![first[0].clone(), id.clone()], at(24)));
        let waits = Step::Waits { id: id.clone(), from };
        assert_eq!(staged.announce(KeyKind::Es384, at(1)).unwrap(), waits, "there is one already");
        assert_eq!(staged.begin(false, at(23)).unwrap(), waits);
        assert_eq!(kids(&staged)[0], first[0], "the one before signs on");

        let begun = staged.begin(false, at(24)).unwrap();
        assert_eq!(begun, Step::Begun { id: id.clone(), until: at(48) });
        assert_eq!(kids(&staged), [id.clone(), first[0].clone()], "both hold");
        let stays = staged.retire(false, at(47)).unwrap();
        assert_eq!((stays.gone.len(), stays.kept), (0, vec![(first[0].clone(), at(48))]));
        assert_eq!(staged.retire(false, at(48)).unwrap().gone, first);
        assert_eq!(kids(&staged), [id]);
        assert!(staged.begin(true, at(48)).is_err(), "nothing is announced");
        let left = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 1, "no file is left behind");
    }

    #[test]
    fn who_is_in_haste_need_not_wait() {
        let folder = tempfile::tempdir().unwrap();
        let staged = signing(folder.path());
        let first = kids(&staged);
        staged.announce(KeyKind::Rs384, at(0)).unwrap();
        assert!(matches!(staged.begin(true, at(0)).unwrap(), Step::Begun { .. }));
        assert_eq!(staged.retire(true, at(0)).unwrap().gone, first);
        let now = place::own_keys(&staged.path).unwrap();
        assert_eq!(now.signs().kind(), KeyKind::Rs384);
        assert_eq!(kids(&staged).len(), 1);
    }

    #[test]
    fn a_step_that_was_cut_off_is_one_that_was_done_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let staged = signing(folder.path());
        let first = kids(&staged);
        staged.announce(KeyKind::Es384, at(0)).unwrap();
        let next = fs::read_to_string(place::stages(&staged.path).next).unwrap();
        // Cut off behind the copy of the old key.
        let before = fs::read_to_string(&staged.path).unwrap();
        let twin = place::old_place(&staged.path, &first[0]);
        place::replace(&twin, &before).unwrap();
        assert_eq!(kids(&staged).len(), 2, "no key counts twice");
        assert!(matches!(staged.begin(false, at(24)).unwrap(), Step::Begun { .. }));
        // Cut off before the file of the next one was removed.
        let second = kids(&staged);
        place::replace(&place::stages(&staged.path).next, &next).unwrap();
        assert_eq!(kids(&staged), second);
        assert!(staged.begin(true, at(24)).is_err(), "what is in use is not announced");
        assert!(!place::stages(&staged.path).has_next);
        // Half a file under another name is no key.
        fs::write(folder.path().join(".signing.pem.tmp"), "-----BEGIN").unwrap();
        assert_eq!(kids(&staged), second);
        assert!(matches!(staged.announce(KeyKind::Es384, at(25)).unwrap(), Step::Announced { .. }));
    }

    #[test]
    fn secrets_of_tokens_are_read_before_and_after_they_are_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.hex");
        wire::keys::write_private(&path, draw_secret().unwrap().as_bytes()).unwrap();
        let staged = Staged { usage: KeyUse::Tokens, path: path.clone() };
        let minutes = |minutes| at(0) + SignedDuration::from_mins(minutes);
        let read = |time| {
            let (issues, others) = place::token_secrets(&path, time).unwrap();
            (*issues, others.to_vec())
        };
        let (first, none) = read(at(0));
        assert!(none.is_empty());
        staged.announce(KeyKind::Es384, at(0)).unwrap();
        let (issues, others) = read(at(0));
        assert_eq!((issues, others.len()), (first, 1), "what another process may issue is read");
        assert!(matches!(staged.begin(false, minutes(4)).unwrap(), Step::Waits { .. }));
        staged.begin(false, minutes(5)).unwrap();
        assert_eq!(read(minutes(5)), (others[0], vec![first]));
        assert_eq!(
            read(minutes(16)).1,
            Vec::<[u8; 32]>::new(),
            "its tokens are over by themselves"
        );
        assert_eq!(staged.retire(false, minutes(16)).unwrap().gone.len(), 1);
    }

    #[test]
    fn what_follows_from_the_first_secret_of_tokens_outlives_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.hex");
        wire::keys::write_private(&path, draw_secret().unwrap().as_bytes()).unwrap();
        let staged = Staged { usage: KeyUse::Tokens, path: path.clone() };
        let follow =
            || (*place::members_secret(&path).unwrap(), place::files_secret(&path).unwrap());
        let (members, files) = follow();
        let tokens = *place::token_secrets(&path, at(0)).unwrap().0;
        assert!(members != tokens && files.0 != tokens && files.0 != members);
        keep_members(&path).unwrap();
        for hours in [1, 3] {
            staged.announce(KeyKind::Es384, at(hours)).unwrap();
            assert_eq!(follow(), (members, files), "announced");
            staged.begin(true, at(hours)).unwrap();
            keep_members(&path).unwrap();
            assert_eq!(follow(), (members, files), "in use");
            assert_eq!(staged.retire(true, at(hours + 1)).unwrap().gone.len(), 1);
            assert_eq!(follow(), (members, files), "the one before is gone");
        }
        assert_ne!(*place::token_secrets(&path, at(9)).unwrap().0, tokens);
    }
}
