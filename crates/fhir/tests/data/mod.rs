//! Examples that others wrote, from the folder named by `HANDOVER_DATA`.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test uses its part

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

/// The folder; without it, one clear line says what is skipped.
pub fn folder(skipped: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("HANDOVER_DATA").map(PathBuf::from);
    if folder.is_none() {
        // Straight to the terminal: the test runner hides what passing tests print.
        let line = format!("skipped: {skipped} (HANDOVER_DATA names no folder of examples)\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    folder
}

/// Every file below a folder, packed ones unpacked, by path.
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    walk(folder, &mut found);
    found.sort();
    found
}

fn walk(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
            continue;
        }
        let name = path.to_string_lossy().into_owned();
        let bytes = std::fs::read(&path).unwrap();
        match name.as_str() {
            name if name.ends_with("gz") => unpack(name, &unzipped(&bytes), found),
            _ => found.push((name, bytes)),
        }
    }
}

fn unpack(name: &str, bytes: &[u8], found: &mut Vec<(String, Vec<u8>)>) {
    if name.ends_with(".tar.gz") || name.ends_with(".tgz") {
        found.extend(tar(bytes).map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
    } else {
        found.push((name.trim_end_matches(".gz").to_owned(), bytes.to_vec()));
    }
}

pub fn unzipped(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut out).unwrap();
    out
}

/// The files of a tar archive: blocks of 512 bytes, a header and the content rounded up.
fn tar(bytes: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> + '_ {
    let text = |field: &[u8]| {
        let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
        String::from_utf8_lossy(&field[..end]).trim().to_owned()
    };
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let header = bytes.get(at..at + 512)?;
            let name = text(&header[..100]);
            if name.is_empty() {
                return None;
            }
            let size = usize::from_str_radix(&text(&header[124..136]), 8).unwrap();
            let content = &bytes[at + 512..at + 512 + size];
            at += 512 + size.div_ceil(512) * 512;
            if matches!(header[156], b'0' | 0) {
                return Some((name, content.to_vec()));
            }
        }
    })
}
