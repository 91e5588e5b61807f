//! Restore: a house rebuilt from a backup, in the folder that holds its private keys.
//!
//! Comes in   a backup; a folder with nothing in it but the house's keys; whether its store goes
//!            into the database server that its configuration names.
//! Goes out   a house of this version whose ledger proves itself and whose contents are whole.
//! Never      overwrites a file, and never leaves half a house that opens: until all is proved the
//!            configuration is called `house.toml.unfinished`, and without it there is no house.

use crate::backup::{
    ANCHOR, FORMAT, MANIFEST, Manifest, STORE, copy_file, is_within, make_private, sync_folders,
    sync_parent, write_file,
};
use crate::{config, database, house, keys};
use exchange::desk::Reply;
use exchange::{Code, Issue};
use repository::{lookup, store_issue};
use std::fs;
use std::path::{Component, Path, PathBuf};
use store::{PostgresHouse, SqliteHouse};

/// Where a restored house has its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// In its folder with all its contents, wherever they came from.
    Folder,
    /// In the database server of its configuration.
    Database,
}

/// Rebuilds a house.
///
/// # Errors
/// `BackupUnusable` when the backup is not whole, or the place or the database holds something
/// already; `KeyUnusable` without the ledger's key. Nothing is left behind, but for the house in the
/// database where the very last step fails, which gives the configuration its name.
pub async fn restore(folder: &Path, backup: &Path, into: Target) -> Result<Reply, Issue> {
    let manifest = read_manifest(backup)?;
    let config = config::House::read(backup)
        .map_err(|issue| unusable(format!("its configuration: {}", issue.detail)))?;
    let restored = config::House { folder: folder.to_owned(), ..config };
    // Without the key nobody can tell whether the ledger is the house's own.
    keys::ledger_key(&restored)?;
    if into == Target::Database && restored.file.database.is_none() {
        let detail = "its configuration names no database server to restore it into";
        return Err(unusable(detail).at(backup.join(config::FILE).display().to_string()));
    }
    let places = Places::of(&restored, &manifest, into)?;
    let text = config_for(into, backup)?;
    places.are_free(folder)?;
    holds_secrets_only(folder, &restored)?;
    let done = places.fill(folder, backup, &text).map_err(unwritten);
    let proved = async {
        done?;
        bring_up(&restored, &places.copy).await?;
        let reply = prove(&restored, &places.copy).await?;
        match into {
            Target::Folder => Ok(reply),
            Target::Database => pour(&restored, &places).await,
        }
    };
    match proved.await {
        Ok(reply) => places.finish(folder).map(|()| reply),
        Err(issue) => {
            places.clear(folder);
            Err(issue)
        }
    }
}

/// Brings the copy into the database server, where it is kept once it is proved.
async fn pour(config: &config::House, places: &Places) -> Result<Reply, Issue> {
    let Some(place) = house::server(config)? else {
        return Err(unusable("its configuration names no database server"));
    };
    let arrived = PostgresHouse::restore(&place, &places.copy, &config.id()).await;
    let arrived = arrived.map_err(|error| match error {
        store::Error::Taken => {
            let detail = "the database holds a house of this name; give this one an empty database";
            unusable(detail).at(format!("{}: database", config::FILE))
        }
        error => store_issue(error),
    })?;
    crate::halt::passed("poured");
    let reply = verify(config, arrived.house()).await?;
    fs::remove_dir_all(&places.copy).and_then(|()| sync_parent(&places.copy)).map_err(unwritten)?;
    // Last: what goes wrong before leaves nothing in the database.
    arrived.keep().await.map_err(store_issue)?;
    Ok(reply)
}

fn unwritten(error: std::io::Error) -> Issue {
    tracing::error!(%error, "restore");
    Issue::new(Code::StoreUnavailable, "the restored house cannot be written")
}

fn unusable(detail: impl Into<String>) -> Issue {
    Issue::new(Code::BackupUnusable, detail)
}

fn read_manifest(backup: &Path) -> Result<Manifest, Issue> {
    let place = |issue: Issue| issue.at(backup.join(MANIFEST).display().to_string());
    let text = fs::read_to_string(backup.join(MANIFEST))
        .map_err(|_| place(unusable("this folder is no backup, or one that was cut off")))?;
    let manifest: Manifest = toml::from_str(&text)
        .map_err(|_| place(unusable("what it says of itself cannot be read")))?;
    if manifest.format > FORMAT {
        return Err(place(unusable("a newer version of this program made it")));
    }
    if !manifest.files.iter().all(|file| is_within(file) && backup.join(file).is_file()) {
        return Err(place(unusable("it names files that are not in it")));
    }
    Ok(manifest)
}

/// Where everything goes.
struct Places {
    files: Vec<PathBuf>,
    anchor: PathBuf,
    store: PathBuf,
    /// The store of the backup: in its place, or on its way into the database.
    copy: PathBuf,
}

impl Places {
    fn of(config: &config::House, manifest: &Manifest, into: Target) -> Result<Places, Issue> {
        let mut files = manifest.files.clone();
        files.retain(|file| file != Path::new(config::FILE));
        if files.len() == manifest.files.len() {
            return Err(unusable("it holds no configuration"));
        }
        let anchor = config.anchor();
        let store = config.path(&config.file.store);
        let copy = match into {
            Target::Folder => store.clone(),
            Target::Database => store.with_extension("restoring"),
        };
        Ok(Places { files, anchor, store, copy })
    }

    /// Whatever is there already may be somebody's house.
    fn are_free(&self, folder: &Path) -> Result<(), Issue> {
        let unfinished = folder.join(config::UNFINISHED);
        let own = [folder.join(config::FILE), unfinished];
        let own = own.into_iter().chain([&self.anchor, &self.store, &self.copy].map(Clone::clone));
        let own = own.chain(self.files.iter().map(|file| folder.join(file)));
        let empty = |path: &Path| fs::read_dir(path).is_ok_and(|mut it| it.next().is_none());
        for path in own {
            if fs::symlink_metadata(&path).is_ok() && !empty(&path) {
                return Err(not_empty(&path));
            }
        }
        Ok(())
    }

    fn fill(&self, folder: &Path, backup: &Path, config: &str) -> std::io::Result<()> {
        make_private(folder)?;
        // First, so that whoever looks meanwhile is told.
        write_file(&folder.join(config::UNFINISHED), config.as_bytes())?;
        sync_folders(folder)?;
        for file in &self.files {
            copy_file(&backup.join(file), &folder.join(file))?;
        }
        if backup.join(ANCHOR).is_file() {
            copy_file(&backup.join(ANCHOR), &self.anchor)?;
        }
        copy_folder(&backup.join(STORE), &self.copy)?;
        // Whoever has looked into the backup may have opened it there.
        SqliteHouse::part_from_original(&self.copy).map_err(std::io::Error::other)?;
        sync_folders(&self.copy)?;
        sync_parent(&self.copy)?;
        crate::halt::passed("restored");
        sync_folders(folder)
    }

    /// From now on it is a house.
    fn finish(&self, folder: &Path) -> Result<(), Issue> {
        let (from, to) = (folder.join(config::UNFINISHED), folder.join(config::FILE));
        fs::rename(from, &to).and_then(|()| sync_parent(&to)).map_err(unwritten)
    }

    /// Takes back what was written; everything here was not there before.
    fn clear(&self, folder: &Path) {
        for folder in [&self.store, &self.copy] {
            fs::remove_dir_all(folder).ok();
        }
        fs::remove_file(&self.anchor).ok();
        self.files.iter().for_each(|file| drop(fs::remove_file(folder.join(file))));
        fs::remove_file(folder.join(config::UNFINISHED)).ok();
    }
}

fn not_empty(found: &Path) -> Issue {
    let issue = unusable("the place to restore to is not empty, its keys aside");
    issue.at(found.display().to_string())
}

/// A partner or an agreement that lies there already would be one of the restored house.
fn holds_secrets_only(folder: &Path, config: &config::House) -> Result<(), Issue> {
    let secrets: Vec<PathBuf> = config.secrets().into_iter().map(|it| plain(folder, it)).collect();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let listing = match fs::read_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            listing => listing.map_err(|_| not_empty(&folder))?,
        };
        for entry in listing {
            let path = entry.map_err(|_| not_empty(&folder))?.path();
            if fs::metadata(&path).is_ok_and(|found| found.is_dir()) {
                folders.push(path);
            } else if !secrets.contains(&path) && !is_secret_too(&secrets, &path) {
                return Err(not_empty(&path));
            }
        }
    }
    Ok(())
}

/// Another stage of a key, or what members are named by.
fn is_secret_too(secrets: &[PathBuf], path: &Path) -> bool {
    let beside =
        |secret: &PathBuf| keys::is_stage(secret, path) || keys::members_place(secret) == path;
    secrets.iter().any(beside)
}

/// A path of the configuration, as a listing of the folder gives it.
fn plain(folder: &Path, path: &Path) -> PathBuf {
    let parts = path.components().filter(|part| *part != Component::CurDir);
    folder.join(parts.collect::<PathBuf>())
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    make_private(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_folder(&entry.path(), &to)?,
            false => copy_file(&entry.path(), &to)?,
        }
    }
    Ok(())
}

/// The configuration of the restored house, as it is to be written.
fn config_for(into: Target, backup: &Path) -> Result<String, Issue> {
    let text = config::read_text(&backup.join(config::FILE))?;
    if into == Target::Database {
        return Ok(text);
    }
    let text = in_its_folder(&text);
    match toml::from_str::<config::HouseFile>(&text) {
        Ok(file) if file.database.is_none() && file.blobs.is_none() => Ok(text),
        _ => {
            let detail = "[database] and [blobs] must be tables of their own, to be taken out";
            Err(unusable(detail).at(backup.join(config::FILE).display().to_string()))
        }
    }
}

/// A backup is a house in a file with all its contents, wherever it had them: the tables that name
/// another place stay as comments.
fn in_its_folder(config: &str) -> String {
    let mut within = false;
    let lines = config.lines().map(|line| {
        if let Some(header) = line.trim_start().strip_prefix('[') {
            let name = header.split(']').next().unwrap_or_default();
            let table = name.split('.').next().unwrap_or_default().trim();
            within = matches!(table, "database" | "blobs");
        }
        if within { format!("# {line}\n") } else { format!("{line}\n") }
    });
    lines.collect()
}

/// Has the copy of a house that an older version wrote take the steps it misses: it is nobody else's.
async fn bring_up(config: &config::House, copy: &Path) -> Result<(), Issue> {
    let schema = SqliteHouse::schema(copy);
    let schema = schema.map_err(|error| unusable(format!("its store: {error}")))?;
    if schema.is_none_or(|(found, known)| found >= known) {
        return Ok(());
    }
    let mut alone = config.clone();
    (alone.file.database, alone.file.blobs) = (None, None);
    alone.file.store = copy.to_owned();
    database::migrate(&alone).await.map(drop)
}

/// `ledger verify`, and every content.
async fn prove(config: &config::House, store: &Path) -> Result<Reply, Issue> {
    let opened = SqliteHouse::open_to_read(store, &config.id()).map_err(|error| match error {
        store::Error::TooNew { .. } => store_issue(error),
        error => unusable(format!("its store: {error}")),
    })?;
    let verified = verify(config, &opened).await?;
    let found = opened.inspect().await.map_err(store_issue)?;
    if found.damaged > 0 || !found.faults.is_empty() || found.broken_references > 0 {
        return Err(unusable(format!("{} of its contents are damaged", found.damaged)));
    }
    Ok(verified)
}

async fn verify(config: &config::House, opened: &impl store::House) -> Result<Reply, Issue> {
    let grounds = house::grounds(config, &keys::ledger_key(config)?)?;
    let verified = lookup::verify(opened, &grounds, &[]).await?;
    if let Reply::Verified { broken: Some((seq, why)), .. } = &verified {
        return Err(unusable(format!("its ledger does not verify: entry {seq}: {why}")));
    }
    Ok(verified)
}

#[cfg(test)]
mod tests {
    //! Goal: a restored house lies in its folder, with all that it holds, and the rest of its
    //! configuration is as it was.

    use super::*;

    #[test]
    fn no_other_place_is_named_any_longer() {
        let table = [
            (
                "name = \"a\"\n\n[database]\npostgres = \"x\"\n\n[tls]\nkey = \"k\"\n",
                "name = \"a\"\n\n# [database]\n# postgres = \"x\"\n# \n[tls]\nkey = \"k\"\n",
            ),
            (
                "[blobs]\nfolder = \"x\"\n[tls] # [blobs]\n",
                "# [blobs]\n# folder = \"x\"\n[tls] # [blobs]\n",
            ),
            ("[ blobs.s3 ] # ours\nbucket = \"x\"\n", "# [ blobs.s3 ] # ours\n# bucket = \"x\"\n"),
            ("[blobsy]\n[databases]\n[[blob]]\n", "[blobsy]\n[databases]\n[[blob]]\n"),
        ];
        for (text, kept) in table {
            assert_eq!(in_its_folder(text), kept);
            assert_eq!(in_its_folder(kept), kept);
        }
    }
}
