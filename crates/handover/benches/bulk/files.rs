//! Files: NDJSON as a sender writes it, packed by gzip.
//!
//! Comes in   a folder, how many resources.
//! Goes out   files of resources of about 1.5 KB: a Patient, a Coverage, an Encounter and what it leaves.
//! Never      draws anything, or holds more than one Bundle.

use crate::bundles::Series;
use fhir::Doc;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Resources about one patient.
const EACH: u64 = 50;

/// Files of a submission.
const FILES: u64 = 20;

/// What was written.
pub(crate) struct Written {
    pub(crate) resources: u64,
    pub(crate) files: u64,
    /// Before they were packed.
    pub(crate) bytes: u64,
}

/// Writes about so many resources.
pub(crate) fn write(folder: &Path, resources: u64) -> Written {
    let namespace = "https://hospital.example/bench".to_owned();
    let series = Series { namespace, resources: EACH as usize, name: "bulk" };
    let each = (resources / EACH / FILES).max(1);
    let mut written = Written { resources: each * EACH * FILES, files: FILES, bytes: 0 };
    for file in 0..FILES {
        let packed = File::create(folder.join(format!("{file}.ndjson.gz"))).unwrap();
        let mut packed = GzEncoder::new(packed, Compression::fast());
        for number in file * each..(file + 1) * each {
            let bundle = series.bundles(number, 1).remove(0);
            let doc = Doc::parse(&bundle).unwrap();
            for entry in doc.root().get("entry").unwrap().items() {
                let line = &bundle[entry.get("resource").unwrap().span()];
                packed.write_all(line).unwrap();
                packed.write_all(b"\n").unwrap();
                written.bytes += line.len() as u64 + 1;
            }
        }
        packed.finish().unwrap();
    }
    written
}
