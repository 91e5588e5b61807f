//! Cut: the layer that loses unsynced writes, and the moment at which it does.
//!
//! Comes in   a folder, the processes that write to it, a seed.
//! Goes out   the folder as a machine may find it after the power was cut: what was synced is there,
//!            every other write and name is there, is not, or is there in part.
//! Never      plays a cut while a process of the folder runs, and never trusts a journal that names a
//!            call it does not understand.
//!
//! How: `powercut.c` is compiled once and loaded into the process in front of the C library. It notes
//! what stood in a place before each change. Here the changes that no sync covered are taken back in
//! reverse order; then those that chance keeps are made again: whole, or some of their sectors of
//! 512 bytes. Names of a folder that depend on one another come back in their order.

use crate::chance::Chance;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What a disk writes whole or not at all.
const SECTOR: u64 = 512;

/// The compiled layer; `None`, after one line, where it cannot be had.
pub(crate) fn layer() -> Option<&'static Path> {
    static LAYER: OnceLock<Option<(PathBuf, tempfile::TempDir)>> = OnceLock::new();
    let made = LAYER.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/powercut/powercut.c");
        let folder = tempfile::tempdir().unwrap();
        let layer = folder.path().join("powercut.so");
        let mut compiler = Command::new("cc");
        compiler.args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-shared", "-fPIC", source, "-o"]);
        let done = match cfg!(target_os = "linux") {
            true => compiler.arg(&layer).arg("-lpthread").status(),
            false => Err(std::io::ErrorKind::Unsupported.into()),
        };
        match done {
            Ok(status) => assert!(status.success(), "the layer does not compile"),
            Err(_) => {
                eprintln!("skipped: no C compiler (cc) on Linux, so no power is cut");
                return None;
            }
        }
        Some((layer, folder))
    });
    made.as_ref().map(|(layer, _)| layer.as_path())
}

/// One folder, watched over the lives of its processes.
pub(crate) struct Grid {
    folder: PathBuf,
    journal: PathBuf,
    runs: u64,
}

/// What a cut did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lost {
    /// Changes that no sync covered.
    pub(crate) unsynced: usize,
    /// Those of them that are gone.
    pub(crate) undone: usize,
    /// Those of which some sectors are gone.
    pub(crate) torn: usize,
}

impl std::ops::AddAssign for Lost {
    fn add_assign(&mut self, other: Lost) {
        self.unsynced += other.unsynced;
        self.undone += other.undone;
        self.torn += other.torn;
    }
}

impl Grid {
    /// Watches a folder; what is in it now is durable. The journal lies outside of it, on the same
    /// file system.
    pub(crate) fn over(folder: &Path, journal: &Path) -> Grid {
        let folder = folder.canonicalize().unwrap();
        fs::create_dir_all(journal).unwrap();
        let grid = Grid { folder, journal: journal.canonicalize().unwrap(), runs: 0 };
        assert!(!grid.journal.starts_with(&grid.folder), "the journal lies outside");
        grid.cut_after(0);
        grid
    }

    /// The environment of the next process. With `near`, changes are counted once such a path is
    /// opened to be written.
    pub(crate) fn environment(&mut self, near: &str) -> Vec<(String, String)> {
        self.runs += 1;
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let words = [
            ("LD_PRELOAD", path(layer().unwrap())),
            ("POWERCUT_FOLDER", path(&self.folder)),
            ("POWERCUT_JOURNAL", path(&self.journal)),
            ("POWERCUT_RUN", format!("{:06}", self.runs)),
            ("POWERCUT_NEAR", near.to_owned()),
        ];
        words.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    /// The process ends by SIGKILL before the n-th change from now; 0: it does not.
    pub(crate) fn cut_after(&self, changes: u64) {
        self.trigger(0, changes);
    }

    /// Whether the disk is full: no file of the folder grows.
    pub(crate) fn fill(&self, full: bool) {
        self.trigger(2, full.into());
    }

    fn trigger(&self, place: u64, number: u64) {
        let trigger = self.journal.join("trigger");
        let file = File::options().create(true).write(true).truncate(false).open(trigger).unwrap();
        if file.metadata().unwrap().len() < 24 {
            file.set_len(24).unwrap();
        }
        file.write_all_at(&number.to_ne_bytes(), 8 * place).unwrap();
    }

    /// Plays the cut: no process works in the folder any more. What is left is durable.
    pub(crate) fn play(&mut self, chance: &mut Chance) -> Lost {
        let changes = self.read();
        let manner = Manner::drawn(chance);
        let mut lost = self.lose_names(&changes, manner, chance);
        lost += self.lose_bytes(&changes, manner, chance);
        self.lose_shared_memory(&self.folder, chance);
        self.forget();
        lost
    }

    /// Everything the processes did becomes durable.
    pub(crate) fn forget(&mut self) {
        for found in fs::read_dir(&self.journal).unwrap() {
            fs::remove_file(found.unwrap().path()).unwrap();
        }
        self.cut_after(0);
    }

    // ---- the journal --------------------------------------------------------------------------

    fn read(&self) -> Vec<Change> {
        let logs = fs::read_dir(&self.journal).unwrap().map(|found| found.unwrap().path());
        let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut logs: Vec<PathBuf> = logs.filter(|path| name(path).starts_with("log-")).collect();
        logs.sort();
        let mut changes = Vec::new();
        for log in logs {
            let run = name(&log).trim_start_matches("log-").to_owned();
            let bytes = fs::read(&log).unwrap();
            let first = changes.len();
            let mut rest = bytes.as_slice();
            // Death may cut the last line short: that change was not made.
            while let Some((change, behind)) = Change::read(rest, &run, first, &self.journal) {
                changes.push(change);
                rest = behind;
            }
        }
        changes
    }

    // ---- names --------------------------------------------------------------------------------

    fn lose_names(&self, changes: &[Change], manner: Manner, chance: &mut Chance) -> Lost {
        let mut synced: HashMap<&Path, usize> = HashMap::new();
        for change in changes {
            if let Change::FolderSynced { path, upto } = change {
                let reached = synced.entry(path).or_default();
                *reached = (*upto).max(*reached);
            }
        }
        let is_synced = |place: &Path, at: usize| {
            let parent = place.parent().unwrap();
            synced.get(parent).is_some_and(|upto| at < *upto)
        };
        let unsynced: Vec<(usize, Vec<&Path>)> = changes
            .iter()
            .enumerate()
            .filter_map(|(at, change)| Some((at, change.names()?)))
            .filter(|(at, names)| !names.iter().all(|name| is_synced(name, *at)))
            .collect();
        let mut lost = Lost { unsynced: unsynced.len(), ..Lost::default() };
        let mut gone = Vec::new();
        for chain in chains(&unsynced) {
            let kept = match manner {
                Manner::Nothing => 0,
                Manner::Everything => chain.len(),
                Manner::Chance => chance.below(chain.len() + 1),
            };
            gone.extend_from_slice(&chain[kept..]);
        }
        gone.sort_unstable();
        for at in gone.into_iter().rev() {
            lost.undone += usize::from(changes[at].take_name_back());
        }
        lost
    }

    // ---- bytes --------------------------------------------------------------------------------

    fn lose_bytes(&self, changes: &[Change], manner: Manner, chance: &mut Chance) -> Lost {
        let mut files: BTreeMap<u64, Vec<(usize, &Change)>> = BTreeMap::new();
        for (at, change) in changes.iter().enumerate() {
            match change {
                Change::Written { inode, .. } | Change::Resized { inode, .. } => {
                    files.entry(*inode).or_default().push((at, change));
                }
                Change::Synced { inode, upto } => {
                    files.entry(*inode).or_default().retain(|(at, _)| at >= upto);
                }
                _ => {}
            }
        }
        let mut places = HashMap::new();
        inodes(&self.folder, &mut places);
        let mut lost = Lost::default();
        for (inode, unsynced) in files.into_iter().filter(|(_, unsynced)| !unsynced.is_empty()) {
            // A file that has lost its name has lost everything.
            let Some(place) = places.get(&inode) else { continue };
            let before = fs::read(place).unwrap();
            let (after, more) = lose_writes(before, &unsynced, manner, chance);
            lost += more;
            // In place: its inode is its name here.
            let file = File::options().write(true).open(place).unwrap();
            file.set_len(0).unwrap();
            file.write_all_at(&after, 0).unwrap();
        }
        lost
    }

    /// What SQLite shares between processes lies in memory; of its file anything may be left.
    fn lose_shared_memory(&self, folder: &Path, chance: &mut Chance) {
        for found in fs::read_dir(folder).unwrap() {
            let found = found.unwrap();
            if found.file_type().unwrap().is_dir() {
                self.lose_shared_memory(&found.path(), chance);
            } else if found.file_name().to_str().unwrap().ends_with("-shm") && chance.once_in(2) {
                fs::remove_file(found.path()).unwrap();
            }
        }
    }
}

/// How much of what was not synced is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Nothing of it was written.
    Nothing,
    /// All of it was, in the last moment.
    Everything,
    /// Each change for itself.
    Chance,
}

impl Manner {
    fn drawn(chance: &mut Chance) -> Manner {
        match chance.below(8) {
            0 | 1 => Manner::Nothing,
            2 => Manner::Everything,
            _ => Manner::Chance,
        }
    }
}

/// A line of the journal.
#[derive(Debug)]
enum Change {
    /// A file came up.
    Created { path: PathBuf },
    /// A folder came up.
    FolderMade { path: PathBuf },
    /// A file got another name; what stood there is kept.
    Renamed { from: PathBuf, to: PathBuf, inode: u64, kept: Option<PathBuf> },
    /// A name went; the file is kept.
    Removed { path: PathBuf, kept: Option<PathBuf> },
    /// Bytes were overwritten or put behind the end.
    Written { inode: u64, offset: u64, length: u64, size: u64, old: Vec<u8> },
    /// A file was cut off or made longer.
    Resized { inode: u64, to: u64, size: u64, old: Vec<u8> },
    /// All changes of a file before this one are durable.
    Synced { inode: u64, upto: usize },
    /// All names of a folder before this one are durable.
    FolderSynced { path: PathBuf, upto: usize },
}

impl Change {
    /// Reads a line; `first` is the place of the run's first line among all. `None` at the end.
    fn read<'b>(
        bytes: &'b [u8],
        run: &str,
        first: usize,
        journal: &Path,
    ) -> Option<(Change, &'b [u8])> {
        const NUMBERS: usize = 7;
        let (head, rest) = bytes.split_at_checked(NUMBERS * 8)?;
        let number = |at: usize| u64::from_ne_bytes(head[at * 8..][..8].try_into().unwrap());
        let [kind, _, inode, one, other, one_length, other_length] =
            std::array::from_fn::<u64, NUMBERS, _>(number);
        let (first_text, rest) = rest.split_at_checked(one_length as usize)?;
        let (second_text, rest) = rest.split_at_checked(other_length as usize)?;
        let path = |text: &[u8]| PathBuf::from(String::from_utf8(text.to_vec()).unwrap());
        let kept = |number: u64| (number > 0).then(|| journal.join(format!("kept-{run}-{number}")));
        let old = first_text.to_vec();
        let change = match u8::try_from(kind).unwrap() {
            b'C' => Change::Created { path: path(first_text) },
            b'M' => Change::FolderMade { path: path(first_text) },
            b'R' => {
                let (from, to) = (path(first_text), path(second_text));
                Change::Renamed { from, to, inode, kept: kept(one) }
            }
            b'U' => Change::Removed { path: path(first_text), kept: kept(one) },
            b'W' => {
                let length = u64::from_ne_bytes(second_text.try_into().unwrap());
                Change::Written { inode, offset: one, length, size: other, old }
            }
            b'T' => Change::Resized { inode, to: one, size: other, old },
            b'S' => Change::Synced { inode, upto: first + one as usize },
            b'D' => Change::FolderSynced { path: path(first_text), upto: first + one as usize },
            _ => panic!("the program does what the layer cannot: {}", path(first_text).display()),
        };
        Some((change, rest))
    }

    /// The names it changes.
    fn names(&self) -> Option<Vec<&Path>> {
        match self {
            Change::Created { path }
            | Change::FolderMade { path }
            | Change::Removed { path, .. } => Some(vec![path]),
            Change::Renamed { from, to, .. } => Some(vec![from, to]),
            _ => None,
        }
    }

    /// Takes a change of names back; says whether there was anything to take back.
    fn take_name_back(&self) -> bool {
        let restore = |kept: &Option<PathBuf>, path: &Path| {
            let Some(kept) = kept else { return };
            if fs::symlink_metadata(path).is_err() {
                fs::hard_link(kept, path).unwrap();
            }
        };
        match self {
            Change::Created { path } => fs::remove_file(path).is_ok(),
            Change::FolderMade { path } => fs::remove_dir_all(path).is_ok(),
            Change::Renamed { from, to, inode, kept } => {
                // Death may have come before the change itself.
                let made = fs::symlink_metadata(to).is_ok_and(|found| found.ino() == *inode);
                if made {
                    fs::rename(to, from).unwrap();
                    restore(kept, to);
                }
                made
            }
            Change::Removed { path, kept } => {
                let gone = fs::symlink_metadata(path).is_err();
                restore(kept, path);
                gone
            }
            _ => false,
        }
    }
}

/// Changes that share names, directly or by others, in their order.
fn chains(unsynced: &[(usize, Vec<&Path>)]) -> Vec<Vec<usize>> {
    let mut chains: Vec<(Vec<&Path>, Vec<usize>)> = Vec::new();
    for (at, names) in unsynced {
        let touches = |chain: &(Vec<&Path>, Vec<usize>)| names.iter().any(|n| chain.0.contains(n));
        let (joined, mut others): (Vec<_>, Vec<_>) = chains.into_iter().partition(touches);
        let mut all_names = names.clone();
        let mut all: Vec<usize> = vec![*at];
        for (names, changes) in joined {
            all_names.extend(names);
            all.extend(changes);
        }
        all.sort_unstable();
        others.push((all_names, all));
        chains = others;
    }
    chains.into_iter().map(|(_, changes)| changes).collect()
}

fn inodes(folder: &Path, places: &mut HashMap<u64, PathBuf>) {
    for found in fs::read_dir(folder).unwrap() {
        let found = found.unwrap();
        match found.file_type().unwrap().is_dir() {
            true => inodes(&found.path(), places),
            false => drop(places.insert(found.metadata().unwrap().ino(), found.path())),
        }
    }
}

/// Takes unsynced writes of one file back and makes those again that chance keeps.
fn lose_writes(
    mut file: Vec<u8>,
    unsynced: &[(usize, &Change)],
    manner: Manner,
    chance: &mut Chance,
) -> (Vec<u8>, Lost) {
    let whole = file.clone();
    let mut written: Vec<Vec<u8>> = Vec::new();
    for (_, change) in unsynced.iter().rev() {
        match change {
            Change::Written { offset, length, size, old, .. } => {
                let (from, to) = (*offset as usize, (*offset + *length) as usize);
                let there = file.get(from.min(file.len())..to.min(file.len())).unwrap().to_vec();
                written.push(there);
                file.resize(*size as usize, 0);
                file[from.min(*size as usize)..][..old.len()].copy_from_slice(old);
            }
            Change::Resized { to, size, old, .. } => {
                written.push(Vec::new());
                file.resize(*size as usize, 0);
                let from = (*to).min(*size) as usize;
                file[from..][..old.len()].copy_from_slice(old);
            }
            _ => {}
        }
    }
    written.reverse();
    let mut lost = Lost { unsynced: unsynced.len(), ..Lost::default() };
    for ((_, change), bytes) in unsynced.iter().zip(&written) {
        let fate = match manner {
            Manner::Nothing => 0,
            Manner::Everything => 3,
            Manner::Chance => chance.below(6),
        };
        match (change, fate) {
            (Change::Written { offset, .. }, 3..) => put(&mut file, *offset, bytes, |_| true),
            (Change::Resized { to, .. }, 1..) => file.resize(*to as usize, 0),
            (Change::Written { offset, .. }, 2) if bytes.len() as u64 > SECTOR => {
                lost.torn += 1;
                tear(&mut file, *offset, bytes, chance);
            }
            // The length is on the disk and the bytes are not.
            (Change::Written { offset, .. }, 1) => {
                lost.undone += 1;
                let end = *offset as usize + bytes.len();
                file.resize(end.max(file.len()), 0);
            }
            _ => lost.undone += 1,
        }
    }
    // Death may have come before the last cut of a file's length, not before a write.
    let resized = unsynced.iter().any(|(_, change)| matches!(change, Change::Resized { .. }));
    let all = manner == Manner::Everything && !resized;
    assert!(!all || file == whole, "the journal tells all of it");
    (file, lost)
}

/// The first sectors of a write, the last, or any.
fn tear(file: &mut Vec<u8>, offset: u64, bytes: &[u8], chance: &mut Chance) {
    let sectors = bytes.len().div_ceil(SECTOR as usize) + 1;
    let (manner, edge) = (chance.below(3), chance.below(sectors));
    let mut drawn = chance.clone();
    chance.draw();
    put(file, offset, bytes, |sector| match manner {
        0 => sector < edge,
        1 => sector >= edge,
        _ => drawn.once_in(2),
    });
}

/// Writes those sectors of the disk that are wanted, counted from the first that is touched.
fn put(file: &mut Vec<u8>, offset: u64, bytes: &[u8], mut wanted: impl FnMut(usize) -> bool) {
    let end = offset as usize + bytes.len();
    file.resize(end.max(file.len()), 0);
    let mut at = offset as usize;
    let mut sector = 0;
    while at < end {
        let next = ((at as u64 / SECTOR + 1) * SECTOR).min(end as u64) as usize;
        if wanted(sector) {
            file[at..next].copy_from_slice(&bytes[at - offset as usize..next - offset as usize]);
        }
        (at, sector) = (next, sector + 1);
    }
}
