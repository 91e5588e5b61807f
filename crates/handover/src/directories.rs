//! Directories: where a sending house looks for its payers' endpoints.
//!
//! Comes in   the `[[directory]]` tables of `house.toml`, in their order.
//! Goes out   directories, ready to be asked; or an issue that names the key of the file.
//! Never      asks one over plain HTTP, but on this machine.

use crate::config::{DirectoryFile, DirectoryKind, House};
use crate::limits::{DIRECTORY_TIMEOUT, PARTNER_ANSWER_MAX};
use exchange::endpoint::Wanted;
use exchange::partner::is_loopback;
use exchange::{Code, Issue, PartnerId};
use jiff::SignedDuration;
use provider::directory::configuration::Configuration;
use provider::directory::dump::Dump;
use provider::directory::national::National;
use provider::directory::pinned::Pinned;
use provider::directory::{Directories, Directory, Keeps, Named};
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::{FhirClient, HttpTransport};

/// The folder of a copy, where the configuration names none.
pub const DUMP: &str = "directory";

/// Opens the directories of a house. Without any, partners' public files are all there is.
///
/// Errors: `ConfigInvalid`, at the key; `KeyUnusable` for an authority that cannot be read.
pub fn open(config: &House, endpoints: BTreeMap<PartnerId, String>) -> Result<Directories, Issue> {
    if config.file.directory.is_empty() {
        return Ok(Directories::pinned(endpoints));
    }
    let mut order: Vec<Named> = Vec::new();
    for (at, file) in config.file.directory.iter().enumerate() {
        let invalid = |key: &str, detail: &str| {
            let place = format!("house.toml: directory[{at}].{key}");
            Issue::new(Code::ConfigInvalid, detail).at(place)
        };
        let name = file.name.clone().unwrap_or_else(|| file.kind.word().to_owned());
        if order.iter().any(|it| it.name == name) {
            return Err(invalid("name", "two directories have this name; name them apart"));
        }
        let directory: Arc<dyn Directory> = match file.kind {
            DirectoryKind::Pinned => Arc::new(Pinned(endpoints.clone())),
            DirectoryKind::Dump => {
                let folder = file.folder.clone().unwrap_or_else(|| DUMP.into());
                Arc::new(Dump { name: name.clone(), folder: config.path(&folder) })
            }
            DirectoryKind::Configuration => {
                let transport = Arc::new(transport(config, file)?);
                Arc::new(Configuration { name: name.clone(), transport })
            }
            DirectoryKind::National => {
                let missing = || invalid("url", "a directory with a FHIR API needs its base URL");
                let url = file.url.as_deref().ok_or_else(missing)?;
                if !url.starts_with("https://") && !is_loopback(url) {
                    let detail = "a directory is asked over https, or over http on this machine";
                    return Err(invalid("url", detail));
                }
                let transport = Arc::new(transport(config, file)?);
                let client = FhirClient::new(url, transport, None);
                Arc::new(National { name: name.clone(), client })
            }
        };
        let usual = Wanted::default();
        let wanted = Wanted {
            environments: file.environments.clone().unwrap_or(usual.environments.clone()),
            use_cases: file.use_cases.clone().unwrap_or(usual.use_cases.clone()),
            ..usual
        };
        let pinned = file.kind == DirectoryKind::Pinned;
        order.push(Named { name, directory, wanted, pinned, keeps: keeps(file) });
    }
    let mut directories = Directories::new(order);
    directories.crosswalk = Some(config.path(config.payers()));
    Ok(directories)
}

fn keeps(file: &DirectoryFile) -> Keeps {
    let usual = Keeps::default();
    let found = file.expires_hours.map(|it| SignedDuration::from_hours(it.into()));
    let missing = file.missing_minutes.map(|it| SignedDuration::from_mins(it.into()));
    let stale = file.stale_days.map(|it| SignedDuration::from_hours(24 * i64::from(it)));
    Keeps {
        found: found.unwrap_or(usual.found),
        missing: missing.unwrap_or(usual.missing),
        stale: stale.unwrap_or(usual.stale),
    }
}

fn transport(config: &House, file: &DirectoryFile) -> Result<HttpTransport, Issue> {
    let authority = file.authority.as_ref().map(|path| config.text(path)).transpose()?;
    let roots: Vec<Vec<u8>> = authority.map(String::into_bytes).into_iter().collect();
    HttpTransport::new(&roots, DIRECTORY_TIMEOUT, PARTNER_ANSWER_MAX)
}
