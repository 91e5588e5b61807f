//! Partner: takes a partner in by the address of its door.
//!
//! Comes in   a URL; the authority a person trusts; what only people know (name, identifiers).
//! Goes out   the partner's public file and an agreement to be narrowed, both in the house's folder; the
//!            registration and the probe of a payer; what was found, and what is next.
//! Never      trusts a server because it answers: its certificate comes from an authority that a person
//!            named, or nothing of it is read. Never overwrites what people wrote.
//!
//! Why in one go, and again whenever one likes: whatever is missing at the first time (a community, a
//! person's yes at the plan, a certificate) is mended, and the same command goes on from there.

mod door;
mod file;
mod told;

pub use told::{json, words};

use crate::config;
use crate::knock::knock;
use crate::{caller, init};
use door::{Documents, Looked};
use exchange::desk::{Command, Reply};
use exchange::partner::{self as public_file, PublicFile, PublicIdentifier, Role, SignIn};
use exchange::probe::Probe;
use exchange::{Code, Issue};
use file::Standing;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What a person says of the partner.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Base URL of its door.
    pub url: String,
    /// PEM of the authority that its certificate comes from.
    pub authority: Option<PathBuf>,
    /// The partner's name in this house.
    pub name: Option<String>,
    /// This house's client id there, where the server is of another make.
    pub client_id: Option<String>,
    /// By what coverages name the payer, where its door does not say it.
    pub payer_ids: Vec<PublicIdentifier>,
}

/// What came of it.
pub struct Added {
    /// This house's name.
    pub house: String,
    /// Where this house's own public file lies.
    pub own_file: PathBuf,
    /// This house's own base URL.
    pub own_url: String,
    /// The partner as it is known here now.
    pub public: PublicFile,
    /// What became of its file.
    pub standing: Standing,
    /// Where that lies.
    pub file: PathBuf,
    /// Where its agreement lies.
    pub agreement: PathBuf,
    /// Whether that was there before.
    pub agreed_before: bool,
    /// The door's certificate.
    pub looked: Looked,
    /// What it says of itself.
    pub documents: Documents,
    /// The probe of a payer; a sender has no door that could be probed.
    pub probed: Option<Result<Probe, Issue>>,
    /// A house of this folder runs, and knows nothing of the partner yet.
    pub runs: bool,
}

impl Added {
    /// Whether something waits for a person.
    pub fn waits(&self) -> bool {
        let failed = |probed: &Result<Probe, Issue>| probed.as_ref().map_or(true, Probe::fails);
        self.runs || self.probed.as_ref().is_some_and(failed)
    }
}

/// Whether what was typed is a URL, and no file.
pub fn is_url(typed: &Path) -> bool {
    let typed = typed.to_string_lossy();
    typed.starts_with("https://") || typed.starts_with("http://")
}

/// Takes the partner in.
///
/// Errors: `ConfigInvalid` for what was typed or is written, `CommandInvalid` where nobody answers,
/// `PayerUntrusted` with the fingerprint of what the door shows, `CapabilityMissing`.
pub async fn add(folder: &Path, asked: &Asked) -> Result<Added, Issue> {
    let config = config::House::read(folder)?;
    let url = base_url(&asked.url)?;
    let mut all = config::read_partners(&config.path(&config.file.partners))?;
    let same = |(_, public): &(String, PublicFile)| public.base_url.trim_end_matches('/') == url;
    let known = all.iter().position(same).map(|place| all.remove(place));
    let (held_at, known) = known.unzip();
    let authority = match &asked.authority {
        Some(place) => Some(config::read_text(place)?),
        None => known.as_ref().map(|known: &PublicFile| known.authority.clone()),
    };
    let looked = door::look(&config, &url, authority.as_deref()).await?;
    let documents = door::documents(&config, &url, &looked.authority).await?;
    let wanted = file::of(&config, &url, asked, &looked, &documents)?;
    let (public, standing) = file::settle(known, wanted, asked.authority.is_some());
    let own = house_path(&config, &config.file.partners, &format!("{}.json", public.name));
    let file = held_at.map_or(own, PathBuf::from);
    let place = file.display().to_string();
    if standing == Standing::New && config.partners.contains_key(&public.name) {
        let detail = format!("another partner is called {}; say --name", public.name);
        return Err(Issue::new(Code::ConfigInvalid, detail).at(place));
    }
    all.push((place.clone(), public.clone()));
    public_file::check_identities(&config.file.name, &config.file.namespace, config::FILE, &all)?;
    let agreement = house_path(&config, &config.file.agreements, &format!("{}.toml", public.name));
    // It may lie in a file of another name.
    let agreed_before = config.terms.contains_key(&public.name) || agreement.exists();
    let changed = matches!(standing, Standing::New | Standing::Amended(_));
    // In this order: a partner without an agreement may do nothing, an agreement without a partner
    // cannot be read.
    if changed {
        init::write_partner(&file, &public)?;
    }
    if !agreed_before {
        config::write_text(&agreement, &exchange::agreement::default_text(&public))?;
    }
    // Read as the next start will read it.
    let config = Arc::new(config::House::read(folder)?);
    let runs = knock(&config.file.base_url, None).await.is_ok();
    // What runs has read the files as they were.
    let (probed, unknown) = match runs && changed {
        true => (None, true),
        false => probe(&config, &public, runs).await,
    };
    Ok(Added {
        house: config.file.name.clone(),
        own_file: folder.join("public.json"),
        own_url: config.file.base_url.clone(),
        public,
        standing,
        file,
        agreement,
        agreed_before,
        looked,
        documents,
        probed,
        runs: runs && unknown,
    })
}

/// Looks at a payer's door as the first push would meet it, and signs in there, which registers this
/// house where it must be. Also whether a running house knows too little to do so.
async fn probe(
    config: &Arc<config::House>,
    public: &PublicFile,
    runs: bool,
) -> (Option<Result<Probe, Issue>>, bool) {
    if public.role == Role::Provider {
        return (None, runs);
    }
    let command = Command::Probe { partner: public.name.clone() };
    match caller::carry_out(config, command, Duration::ZERO).await {
        Ok(Reply::Probed(probe)) => (Some(Ok(probe)), false),
        Ok(_) => {
            let issue = Issue::new(Code::AnswerUnreadable, "the house answered no probe");
            (Some(Err(issue)), false)
        }
        Err(issue) if runs && issue.code == Code::PartnerUnknown => (None, true),
        Err(issue) => (Some(Err(issue)), false),
    }
}

/// How this house signs in there, in words.
fn signs_in(public: &PublicFile) -> String {
    match (public.signs_in(), &public.udap) {
        (SignIn::Udap, Some(udap)) => format!("UDAP, in {}", udap.community),
        (SignIn::Mtls, _) => "the client certificate".to_owned(),
        (SignIn::None, _) => "nothing: it is open on this machine".to_owned(),
        _ => "SMART Backend Services".to_owned(),
    }
}

fn house_path(config: &config::House, folder: &Path, name: &str) -> PathBuf {
    config.path(folder).join(name)
}

/// The URL as it is compared: one that a house may send to.
fn base_url(typed: &str) -> Result<String, Issue> {
    let url = typed.trim_end_matches('/');
    let invalid = |detail: &str| Issue::new(Code::ConfigInvalid, detail).at("URL");
    let visible = url.bytes().all(|byte| byte.is_ascii_graphic());
    let plain = !url.contains(['?', '#', '@', '\\']);
    if !visible || !plain || url.len() > exchange::limits::PUBLIC_WORDS_MAX {
        return Err(invalid("a door's URL is such as https://gateway.example.org/fhir"));
    }
    if url.starts_with("http://") && !public_file::is_loopback(url) {
        return Err(invalid("a partner's door is reached over https, but on this machine"));
    }
    Ok(url.to_owned())
}

#[cfg(test)]
mod tests {
    //! Goal: nothing is asked of what is no door's URL.

    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_a_door_is_asked() {
        let table = [
            ("https://plan.example/fhir", Some("https://plan.example/fhir")),
            ("https://plan.example/fhir/", Some("https://plan.example/fhir")),
            ("http://127.0.0.1:8080/fhir", Some("http://127.0.0.1:8080/fhir")),
            ("http://plan.example/fhir", None),
            ("http://127.0.0.1@plan.example/fhir", None),
            ("https://user@plan.example/fhir", None),
            ("https://plan.example/fhir?a=b", None),
            ("https://plan.example/fhir#a", None),
            ("https://plan.example/a b", None),
            ("https://plan.example\\@other.example/fhir", None),
        ];
        for (typed, wanted) in table {
            assert_eq!(base_url(typed).ok().as_deref(), wanted, "{typed}");
        }
        assert!(is_url(Path::new("https://plan.example")) && !is_url(Path::new("plan.json")));
    }
}
