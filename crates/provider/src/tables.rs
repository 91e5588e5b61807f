//! Tables: the files of restrictions and payors, which people change while the house runs.
//!
//! Comes in   their paths; a new text to put in the place of the old one.
//! Goes out   tables ready to be asked; a file that is the old one or the new one, never half of it.
//! Never      sends by a table that cannot be read, or that is older than agreed; never changes a
//!            table before the line that says who did is durable.
//!
//! The new text is written beside the table and brought to the disk first. Then the ledger's line is
//! committed, and then the file takes the table's name: a kill in between leaves the old table, a
//! line, and somebody without an answer, who asks again.

use crate::road::Road;
use crate::setup::Setup;
use exchange::restriction::{Restrictions, feed};
use exchange::scope::PayorMap;
use exchange::{Code, Digest, Issue, PartnerId, Purpose};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wire::Clock as _;

/// Tables as they were last read: a large one is made sense of once, not for every push. Whether it is
/// still the same is told by all its bytes, never by its times.
#[derive(Default)]
pub struct Tables {
    restrictions: Mutex<Option<Known>>,
    payors: Mutex<Option<(String, Arc<PayorMap>)>>,
}

/// A table of restrictions, with what was asked of it.
struct Known {
    text: String,
    table: Arc<Restrictions>,
    by_purpose: BTreeMap<Purpose, Arc<Restrictions>>,
    marks: BTreeMap<(Purpose, PartnerId), Digest>,
}

impl Tables {
    fn restrictions(&self) -> MutexGuard<'_, Option<Known>> {
        self.restrictions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Road {
    /// The restrictions that hold against a purpose, or all.
    ///
    /// Errors: `RestrictionsUnreadable`, `RestrictionsStale`.
    pub(crate) fn restrictions(
        &self,
        purpose: Option<Purpose>,
    ) -> Result<Arc<Restrictions>, Issue> {
        let all = self.all_restrictions()?;
        self.check_age(&all)?;
        let Some(purpose) = purpose else { return Ok(all) };
        let mut known = self.tables.restrictions();
        let Some(known) = known.as_mut().filter(|known| Arc::ptr_eq(&known.table, &all)) else {
            return Ok(Arc::new((*all).clone().for_purpose(purpose)));
        };
        let narrowed = || Arc::new((*all).clone().for_purpose(purpose));
        Ok(Arc::clone(known.by_purpose.entry(purpose).or_insert_with(narrowed)))
    }

    /// The restrictions as they stand in the table, however old. The file is read each time, and
    /// made sense of once.
    pub(crate) fn all_restrictions(&self) -> Result<Arc<Restrictions>, Issue> {
        let text = self.restrictions_text()?;
        let mut known = self.tables.restrictions();
        if let Some(known) = known.as_ref().filter(|known| known.text == text) {
            return Ok(Arc::clone(&known.table));
        }
        let place = self.setup.restrictions.display().to_string();
        let table = Arc::new(Restrictions::parse(&text, &place, &self.partners())?);
        let (by_purpose, marks) = (BTreeMap::new(), BTreeMap::new());
        *known = Some(Known { text, table: Arc::clone(&table), by_purpose, marks });
        Ok(table)
    }

    /// The digest of what restrictions, narrowed to a purpose, keep from a payer.
    pub(crate) fn mark(
        &self,
        purpose: Purpose,
        payer: &PartnerId,
        narrowed: &Restrictions,
    ) -> Digest {
        let mut known = self.tables.restrictions();
        let is_known = |known: &&mut Known| {
            known.by_purpose.get(&purpose).is_some_and(|it| ptr::eq(&**it, narrowed))
        };
        let Some(known) = known.as_mut().filter(is_known) else { return narrowed.digest(payer) };
        let key = (purpose, payer.clone());
        *known.marks.entry(key).or_insert_with(|| narrowed.digest(payer))
    }

    pub(crate) fn restrictions_text(&self) -> Result<String, Issue> {
        fs::read_to_string(&self.setup.restrictions).map_err(|_| {
            let detail = "the table of restrictions cannot be read";
            let place = self.setup.restrictions.display().to_string();
            Issue::new(Code::RestrictionsUnreadable, detail).at(place)
        })
    }

    /// Whether the restrictions are as fresh as agreed. Errors: `RestrictionsStale`.
    pub(crate) fn check_age(&self, restrictions: &Restrictions) -> Result<(), Issue> {
        let Some(feed) = &self.setup.feed else { return Ok(()) };
        let checked = feed::check(self.dated(restrictions), feed.max_age_hours, self.clock.now());
        checked.map_err(|issue| issue.at(self.setup.restrictions.display().to_string()))
    }

    /// Until when the restrictions are known: as the table says, else when the feed last came.
    pub(crate) fn dated(&self, restrictions: &Restrictions) -> Option<Timestamp> {
        let place = self.setup.feed.as_ref().and_then(|feed| feed.place.as_deref());
        restrictions.as_of().or_else(|| newest(place?))
    }

    /// The table of payors; an empty one where there is no file.
    ///
    /// Errors: `ConfigInvalid`.
    pub(crate) fn payors(&self) -> Result<Arc<PayorMap>, Issue> {
        let text = self.payors_text()?;
        let mut known = self.tables.payors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, map)) = known.as_ref().filter(|(known, _)| *known == text) {
            return Ok(Arc::clone(map));
        }
        let place = self.setup.payors.display().to_string();
        let map = Arc::new(PayorMap::parse(&text, &place, &self.partners())?);
        *known = Some((text, Arc::clone(&map)));
        Ok(map)
    }

    pub(crate) fn payors_text(&self) -> Result<String, Issue> {
        match fs::read_to_string(&self.setup.payors) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
            read => read.map_err(|_| {
                let place = self.setup.payors.display().to_string();
                Issue::new(Code::ConfigInvalid, "the table of payors cannot be read").at(place)
            }),
        }
    }

    pub(crate) fn partners(&self) -> Vec<PartnerId> {
        let Setup { payers, named, .. } = &self.setup;
        let other = |name: &&PartnerId| !payers.contains_key(*name);
        payers.keys().chain(named.iter().filter(other)).cloned().collect()
    }
}

/// When a file, or the newest file of a folder, was last written.
fn newest(place: &Path) -> Option<Timestamp> {
    let written = |path: &Path| {
        let found = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Timestamp::try_from(found.modified().ok()?).ok()
    };
    match fs::read_dir(place) {
        Ok(listing) => listing.flatten().filter_map(|entry| written(&entry.path())).max(),
        Err(_) => written(place),
    }
}

/// A table that nobody else changes while this is held.
pub(crate) struct Held {
    path: PathBuf,
    _lock: File,
}

/// A new text on the disk, without the table's name.
pub(crate) struct Staged {
    from: PathBuf,
    held: Held,
}

/// Takes a table to change it; other processes of the house wait for their turn.
///
/// Errors: `ConfigInvalid` where nothing can be written beside it.
pub(crate) async fn hold(path: &Path) -> Result<Held, Issue> {
    // Where the name is a link, what it leads to is changed.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let beside = beside(&path, "lock");
    let locked = tokio::task::spawn_blocking(move || {
        let file = File::options().create(true).truncate(false).write(true).open(beside)?;
        file.lock().map(|()| file)
    });
    match locked.await {
        Ok(Ok(lock)) => Ok(Held { path, _lock: lock }),
        _ => Err(unwritable(&path)),
    }
}

impl Held {
    /// Writes the new text to the disk, beside the table.
    ///
    /// Errors: `ConfigInvalid`.
    pub(crate) fn stage(self, text: &str) -> Result<Staged, Issue> {
        let from = beside(&self.path, "new");
        let written = File::create(&from).and_then(|mut file| {
            if let Ok(known) = fs::metadata(&self.path) {
                file.set_permissions(known.permissions())?;
            }
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        written.map_err(|_| unwritable(&self.path))?;
        Ok(Staged { from, held: self })
    }
}

impl Staged {
    /// Gives it the table's name: from here on it counts.
    ///
    /// Errors: `ConfigInvalid`.
    pub(crate) fn put(self) -> Result<(), Issue> {
        let path = &self.held.path;
        let renamed = fs::rename(&self.from, path).and_then(|()| match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
            _ => Ok(()),
        });
        renamed.map_err(|_| unwritable(path))
    }
}

/// `.restrictions.toml.new`
fn beside(path: &Path, ending: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{ending}"))
}

fn unwritable(path: &Path) -> Issue {
    let detail = "the table cannot be written; it is as it was";
    Issue::new(Code::ConfigInvalid, detail).at(path.display().to_string())
}
