//! Files: secrets on the disk, each in a file that only its owner may read.
//!
//! Comes in   a path, and what to write.
//! Goes out   the text of a secret, wiped from memory when it is dropped.
//! Never      overwrites a secret, or reads one that every user of the machine can read.

use exchange::{Code, Issue};
use secrecy::zeroize::Zeroizing;
use std::io::Write;
use std::path::Path;

/// Writes a secret to a new file that only its owner may read, and waits until the disk has it.
///
/// Errors: `KeyUnusable`, also when the file is there already.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), Issue> {
    let place = path.display().to_string();
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(path)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .map_err(|error| {
            let words = match error.kind() {
                std::io::ErrorKind::AlreadyExists => "the key's file is there already",
                _ => "the key's file cannot be written",
            };
            Issue::new(Code::KeyUnusable, words).at(place)
        })
}

/// Reads a secret's file; the error is the rest of a sentence.
pub fn read_private(path: &Path) -> Result<Zeroizing<String>, &'static str> {
    let text = std::fs::read_to_string(path).map_err(|_| "cannot be read from its file")?;
    let text = Zeroizing::new(text);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let metadata = std::fs::metadata(path).map_err(|_| "cannot be read from its file")?;
        if metadata.permissions().mode() & 0o007 != 0 {
            return Err("is open to every user of the machine; set its mode to 0600");
        }
    }
    Ok(text)
}
