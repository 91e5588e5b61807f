//! Whole: a text in the place of another, whole or not at all.
//!
//! Comes in   a place and a text.
//! Goes out   the file; with the owner and the mode of the one before it.
//! Never      half a file where a whole one was: a house whose `house.toml` ends in the middle does not
//!            start, and a partner whose file does cannot be added again.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::Path;

/// Writes a text: beside its place, then into it by one rename. What is no file (a terminal, a pipe) is
/// written to as it is, and a link goes on leading where it led.
///
/// # Errors
/// Those of the disk; the file is as it was then.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let before = fs::metadata(&place).ok();
    if before.as_ref().is_some_and(|before| !before.is_file()) {
        return fs::write(path, text);
    }
    let name = place.file_name().map(|name| name.to_string_lossy().into_owned());
    let half =
        place.with_file_name(format!(".{}.{}.tmp", name.unwrap_or_default(), std::process::id()));
    let written = fs::write(&half, text)
        .and_then(|()| before.as_ref().map_or(Ok(()), |before| dress(&half, before)))
        .and_then(|()| File::open(&half)?.sync_all())
        .and_then(|()| fs::rename(&half, &place));
    if written.is_err() {
        fs::remove_file(&half).ok();
    }
    written?;
    match place.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

/// The mode of another file; and its owner, where one may give files away.
fn dress(half: &Path, before: &Metadata) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, chown};
        chown(half, Some(before.uid()), Some(before.gid())).ok();
    }
    fs::set_permissions(half, before.permissions())
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    //! Goal: who reads meanwhile, or comes after a cut, finds one text or the other.

    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Read;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn the_text_before_is_never_touched() {
        let folder = tempfile::tempdir().unwrap();
        let (place, link) = (folder.path().join("house.toml"), folder.path().join("link.toml"));
        write(&place, "before").unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&place, &link).unwrap();
        for (over, text) in [(&place, "after"), (&link, "at last")] {
            let expected = fs::read_to_string(&place).unwrap();
            let mut open = File::open(&place).unwrap();
            write(over, text).unwrap();
            let mut seen = String::new();
            open.read_to_string(&mut seen).unwrap();
            assert_eq!(seen, expected, "the file that was open is another one now");
            assert_eq!(fs::read_to_string(&place).unwrap(), text);
        }
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside");
        write(Path::new("/dev/null"), "x").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        let nowhere = folder.path().join("none/house.toml");
        assert!(write(&nowhere, "x").is_err());
    }
}
