//! Tree: the files of the repository as text.
//!
//! Comes in   the root folder; from git the list of files that are tracked or could be.
//! Goes out   paths and texts, in the order of their paths.
//! Never      looks into `target/` or into anything that git ignores; never reads binary files.

use std::path::Path;
use std::process::Command;

use crate::source::Source;

/// One text file.
#[derive(Debug, Clone)]
pub struct File {
    /// Path relative to the root, with forward slashes.
    pub path: String,
    /// The whole text.
    pub text: String,
}

/// All text files of the repository, and the paths of all others.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// The text files.
    pub files: Vec<File>,
    /// Every path, text or not.
    pub paths: Vec<String>,
}

impl Tree {
    /// Reads the repository at `root`. The error is a sentence.
    pub fn read(root: &Path) -> Result<Tree, String> {
        let mut paths = match listed_by_git(root) {
            Some(paths) => paths,
            None => walked(root)?,
        };
        paths.sort();
        let mut tree = Tree::default();
        for path in paths {
            let Ok(bytes) = std::fs::read(root.join(&path)) else { continue };
            if let Ok(text) = String::from_utf8(bytes) {
                tree.files.push(File { path: path.clone(), text });
            }
            tree.paths.push(path);
        }
        Ok(tree)
    }

    /// A tree made of texts, for tests.
    pub fn of(files: &[(&str, &str)]) -> Tree {
        let file =
            |(path, text): &(&str, &str)| File { path: (*path).into(), text: (*text).into() };
        let files: Vec<File> = files.iter().map(file).collect();
        let paths = files.iter().map(|file| file.path.clone()).collect();
        Tree { files, paths }
    }

    /// The file at this path.
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Whether a file or a folder stands at this path.
    pub fn holds(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let inside = |other: &str| {
            other == path || other.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))
        };
        path.is_empty() || self.paths.iter().any(|other| inside(other))
    }

    /// Every Rust file, read as source.
    pub fn sources(&self) -> impl Iterator<Item = Source<'_>> {
        self.files.iter().filter(|file| file.path.ends_with(".rs")).map(Source::of)
    }
}

fn listed_by_git(root: &Path) -> Option<Vec<String>> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .ok()?;
    if !listed.status.success() {
        return None;
    }
    let names = String::from_utf8(listed.stdout).ok()?;
    Some(names.split('\0').filter(|name| !name.is_empty()).map(String::from).collect())
}

/// An unpacked archive has no git: then every file counts but build output.
fn walked(root: &Path) -> Result<Vec<String>, String> {
    let mut open = vec![root.to_path_buf()];
    let mut paths = Vec::new();
    while let Some(folder) = open.pop() {
        let entries = std::fs::read_dir(&folder)
            .map_err(|error| format!("cannot list {}: {error}", folder.display()))?;
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() {
                if name != "target" && name != ".git" {
                    open.push(path);
                }
            } else if let Ok(relative) = path.strip_prefix(root) {
                paths.push(relative.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    Ok(paths)
}
