//! Goal: a file is its pieces, one behind the other, the same bytes each time; nothing of a push is left
//! out, and nothing is in two files.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::read::{self, SenderTerms};
use fhir::Ndjson;

const NAMESPACE: &str = "https://clinic.example/handover";

/// A payload as *assemble* makes one: a Patient, so many Observations, a Provenance, and deletions.
fn payload(number: u64, observations: usize, gone: &[&str]) -> (Sent, Bytes) {
    let push = PushId(format!("{number}-{}", "0123456789abcdef".repeat(2)));
    let mut writer = BundleWriter::new(BundleType::Transaction)
        .identifier(&format!("{NAMESPACE}/push"), push.as_str())
        .timestamp("2026-11-22T12:00:00Z");
    let mut put = |kind: &str, id: &str| {
        let text = format!("{{\"resourceType\":\"{kind}\",\n \"id\":\"{id}\"}}");
        let url = format!("{kind}/{id}");
        writer.entry(EntryToWrite {
            resource: Some(text.as_bytes()),
            request: Some((Method::Put, &url)),
            ..EntryToWrite::default()
        });
    };
    put("Patient", &format!("p{number}"));
    (0..observations).for_each(|n| put("Observation", &format!("o{number}-{n}")));
    put("Provenance", &format!("v{number}"));
    for url in gone {
        let request = Some((Method::Delete, *url));
        writer.entry(EntryToWrite { request, ..EntryToWrite::default() });
    }
    let bytes = Bytes::from(writer.finish());
    let walk = WalkId(format!("w{number}"));
    let patient = format!("p{number}");
    (Sent { walk, push, patient, payload: Digest::of(&bytes) }, bytes)
}

fn planned(organized: Organized, bytes_max: u64, all: &[(Sent, Bytes)]) -> Plan {
    let at = "2026-11-22T13:00:00Z".parse().unwrap();
    let mut planner = Planner::new(at, organized, bytes_max);
    all.iter().for_each(|(sent, payload)| planner.add(sent, payload).unwrap());
    planner.finish()
}

/// A file, made of its pieces.
fn whole(file: &File, all: &[(Sent, Bytes)]) -> Vec<u8> {
    let piece = |piece: &Piece| {
        let (_, payload) = all.iter().find(|(sent, _)| sent.walk == piece.walk).unwrap();
        assert_eq!(Digest::of(payload), piece.payload);
        file.part().lines(piece, payload.clone()).unwrap().to_vec()
    };
    file.pieces.iter().flat_map(piece).collect()
}

fn lines(bytes: &[u8]) -> Vec<Resource> {
    let mut reader = Ndjson::new(1_000_000, 1_000_000);
    let lines = reader.push(bytes);
    assert!(reader.finish().is_none(), "each line has its end");
    lines.into_iter().map(|line| line.unwrap().resource).collect()
}

#[test]
fn a_file_has_the_length_and_the_digest_that_were_planned() {
    let all: Vec<_> = (1..=7).map(|n| payload(n, n as usize % 4, &["Observation/x"])).collect();
    for organized in [Organized::Patient, Organized::Type] {
        for bytes_max in [1, 700, 1_000_000] {
            let plan = planned(organized, bytes_max, &all);
            let mut names = BTreeSet::new();
            for file in &plan.files {
                let bytes = whole(file, &all);
                assert_eq!((bytes.len() as u64, Digest::of(&bytes)), (file.bytes, file.digest));
                let headers = if file.kind.is_none() { file.pieces.len() } else { 0 };
                assert_eq!(
                    lines(&bytes).len() as u64,
                    file.count + headers as u64,
                    "{}",
                    file.name
                );
                assert!(file.bytes <= bytes_max || file.pieces.len() == 1, "{}", file.name);
                assert!(names.insert(file.name.clone()), "{} is there twice", file.name);
                let mut byte = 0;
                for (at, piece) in file.pieces.iter().enumerate() {
                    assert_eq!(file.piece_at(byte), (at, 0));
                    assert_eq!(file.piece_at(byte + piece.bytes - 1), (at, piece.bytes - 1));
                    byte += piece.bytes;
                }
                assert_eq!(file.piece_at(byte).0, file.pieces.len());
            }
            let resources: u64 = (1..=7).map(|n| 2 + n % 4).sum();
            assert_eq!(plan.resources(), resources, "every resource is in one file");
            assert_eq!(plan.pushes().len(), 7);
            assert_eq!(plan, planned(organized, bytes_max, &all), "the same each time");
            let read: Plan = serde_json::from_slice(&serde_json::to_vec(&plan).unwrap()).unwrap();
            assert_eq!(read, plan);
        }
    }
}

#[test]
fn a_push_is_a_block_behind_its_header() {
    let all = [payload(3, 1, &[]), payload(4, 0, &[])];
    let plan = planned(Organized::Patient, 1_000_000, &all);
    assert_eq!(plan.files.len(), 1);
    let read = lines(&whole(&plan.files[0], &all));
    let kinds: Vec<&str> = read.iter().map(Resource::kind).collect();
    let block = ["Parameters", "Patient", "Observation", "Provenance"];
    assert_eq!(kinds, [&block[..], &["Parameters", "Patient", "Provenance"]].concat());
    let header = Header::of(&read[4]).unwrap();
    assert_eq!(header.reference, "Patient/p4");
    let key = (format!("{NAMESPACE}/push"), all[1].0.push.to_string());
    assert_eq!(header.push, Some(key));
    assert_eq!(header.as_of.unwrap().to_string(), "2026-11-22T12:00:00Z");
    assert!(read.iter().all(|it| !it.bytes().contains(&b'\n')), "a line is one line");
}

/// A door takes so many entries of one Bundle; whoever takes back more says it in several, the Patient last.
#[test]
fn more_deletions_than_a_bundle_takes_go_in_several_under_the_same_key() {
    let table =
        [(1, vec![1]), (ENTRIES_MAX, vec![ENTRIES_MAX]), (ENTRIES_MAX + 1, vec![ENTRIES_MAX, 1])];
    for (many, expected) in table {
        let mut gone: Vec<String> = (1..many).map(|n| format!("Observation/{n}")).collect();
        gone.push("Patient/p3".to_owned());
        let urls: Vec<&str> = gone.iter().map(String::as_str).collect();
        let all = [payload(3, 1, &urls)];
        let plan = planned(Organized::Patient, 1_000_000, &all);
        let file = plan.files.iter().find(|file| file.deleted).unwrap();
        assert_eq!(file.count, expected.len() as u64, "lines, as a manifest counts them");
        let bytes = whole(file, &all);
        assert_eq!((bytes.len() as u64, Digest::of(&bytes)), (file.bytes, file.digest));
        let bundle = |line: &Resource| Bundle::parse(line.bytes().clone()).unwrap();
        let bundles: Vec<Bundle> = lines(&bytes).iter().map(bundle).collect();
        let sizes: Vec<usize> = bundles.iter().map(|it| it.entries.len()).collect();
        assert_eq!(sizes, expected);
        let key = |it: &Bundle| it.identifier.clone().unwrap().1;
        assert!(bundles.iter().all(|it| key(it) == all[0].0.push.as_str()));
        assert!(bundles.iter().all(|it| it.timestamp == bundles[0].timestamp));
        let whose = |line: Resource| {
            let terms = SenderTerms {
                partner: "clinic".into(),
                namespace: None,
                types: Vec::new(),
                base: String::new(),
            };
            read::read(line.bytes().clone(), &terms).unwrap().about
        };
        let whose: Vec<_> = lines(&bytes).into_iter().map(whose).collect();
        assert!(whose.iter().all(|it| it.as_ref() == Some(&all[0].0.patient)), "{whose:?}");
        let entries = bundles.iter().flat_map(|it| &it.entries);
        let told = entries.map(|entry| entry.request.as_ref().unwrap().url.clone());
        assert_eq!(told.collect::<Vec<_>>(), gone, "each once, in their order");
    }
}

#[test]
fn patients_come_first_and_deletions_last_under_the_key_of_their_push() {
    let all = [payload(3, 1, &["Observation/a", "Observation/b"])];
    let plan = planned(Organized::Type, 1_000_000, &all);
    let names: Vec<&str> = plan.files.iter().map(|file| file.name.as_str()).collect();
    let expected =
        ["Patient-1.ndjson", "Observation-1.ndjson", "Provenance-1.ndjson", "deleted-1.ndjson"];
    assert_eq!(names, expected);
    let deleted = plan.files.last().unwrap();
    let bundle = lines(&whole(deleted, &all)).remove(0);
    let bundle = Bundle::parse(bundle.bytes().clone()).unwrap();
    let urls = bundle.entries.iter().map(|entry| entry.request.clone().unwrap());
    let urls: Vec<_> = urls.map(|it| (it.method, it.url)).collect();
    let delete = |id: &str| (Method::Delete, format!("Observation/{id}"));
    assert_eq!(urls, [delete("a"), delete("b")]);
    assert_eq!(bundle.identifier.unwrap().1, all[0].0.push.as_str());
    let manifest = plan.manifest(true, None, |name| format!("https://clinic.example/{name}"));
    let manifest = bulk::Manifest::read(&manifest).unwrap();
    let counts: Vec<_> = manifest.output.iter().map(|file| file.count).collect();
    assert_eq!((counts, manifest.deleted[0].count), (vec![Some(1); 3], Some(1)));
    assert_eq!(manifest.deleted[0].url, "https://clinic.example/deleted-1.ndjson");
    assert_eq!(manifest.organized_by, None);
}

#[test]
fn what_is_no_longer_the_payload_that_was_planned_is_not_served() {
    let all = [payload(3, 1, &[])];
    let plan = planned(Organized::Patient, 1_000_000, &all);
    let (file, other) = (&plan.files[0], payload(3, 2, &[]).1);
    for wrong in [other, Bytes::from_static(b"{}")] {
        let issue = file.part().lines(&file.pieces[0], wrong).unwrap_err();
        assert_eq!(issue.code, Code::InternalError);
    }
}

/// Two histories with a Practitioner in common, and one each of their own.
#[test]
fn what_many_histories_share_is_in_an_export_once_and_each_push_is_still_in_its_file() {
    let history = |number: u64, own: &[&str]| {
        let mut writer = BundleWriter::new(BundleType::Transaction);
        let patient = format!("p{number}");
        for (kind, id) in [("Patient", patient.as_str())]
            .into_iter()
            .chain(own.iter().map(|id| ("Practitioner", *id)))
        {
            let text = format!(r#"{{"resourceType":"{kind}","id":"{id}"}}"#);
            let url = format!("{kind}/{id}");
            writer.entry(EntryToWrite {
                resource: Some(text.as_bytes()),
                request: Some((Method::Put, &url)),
                ..EntryToWrite::default()
            });
        }
        let bytes = Bytes::from(writer.finish());
        let (walk, push) = (WalkId(format!("w{number}")), PushId(format!("{number}-0")));
        (Sent { walk, push, patient, payload: Digest::of(&bytes) }, bytes)
    };
    let all = [history(1, &["a", "shared"]), history(2, &["shared", "b"]), history(3, &["shared"])];
    for (once, expected) in
        [(true, &["a", "shared", "b"][..]), (false, &["a", "shared", "shared", "b", "shared"])]
    {
        let at = "2026-11-22T13:00:00Z".parse().unwrap();
        let mut planner = Planner::new(at, Organized::Type, 1_000_000).once(once);
        all.iter().for_each(|(sent, payload)| planner.add(sent, payload).unwrap());
        let plan = planner.finish();
        let file = plan.files.iter().find(|it| it.kind.as_deref() == Some("Practitioner")).unwrap();
        let bytes = whole(file, &all);
        let ids: Vec<String> =
            lines(&bytes).iter().map(|one| one.id().unwrap().to_owned()).collect();
        assert_eq!(ids, expected, "once: {once}");
        assert_eq!(file.count, ids.len() as u64);
        assert_eq!((bytes.len() as u64, Digest::of(&bytes)), (file.bytes, file.digest));
        assert_eq!(file.pieces.len(), 3, "whoever fetches it has been given all three");
        let read: Plan = serde_json::from_slice(&serde_json::to_vec(&plan).unwrap()).unwrap();
        assert_eq!(read, plan);
    }
}
