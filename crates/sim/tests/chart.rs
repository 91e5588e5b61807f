//! Goal: the loader takes what others write, changes nothing but references, and names the place
//! of what it cannot take without quoting it.
//!
//! How: small folders written for each test, of every form that is read.

#![allow(clippy::unwrap_used, missing_docs)]

use sim::chart::LoadPlan;
use sim::chart::splice::{Edit, Member, references, splice, string_at};
use sim::{Chart, ChartError};
use std::io::Write;
use std::path::PathBuf;

/// A folder of its own, gone when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, files: &[(&str, &str)]) -> Folder {
        let path = std::env::temp_dir().join(format!("sim-chart-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        for (file, text) in files {
            let target = std::fs::File::create(path.join(file)).unwrap();
            if file.ends_with(".gz") {
                let mut gz = flate2::write::GzEncoder::new(target, flate2::Compression::fast());
                gz.write_all(text.as_bytes()).unwrap();
                gz.finish().unwrap();
            } else {
                let mut plain = target;
                plain.write_all(text.as_bytes()).unwrap();
            }
        }
        Folder(path)
    }

    fn load(&self) -> Result<Chart, ChartError> {
        Chart::load(&self.0, None)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn text(chart: &Chart, reference: &str) -> String {
    String::from_utf8(chart.find(reference).unwrap().bytes.to_vec()).unwrap()
}

#[test]
fn references_become_relative_and_nothing_else_changes() {
    let bundle = r##"{"resourceType":"Bundle","type":"transaction","entry":[
      {"fullUrl":"urn:uuid:aa","resource":{"resourceType":"Patient","id":"p1","x" : 1.00e-3 }},
      {"fullUrl":"urn:uuid:bb","resource":{ "id":"o1",  "resourceType":"Observation",
         "identifier":[{"system":"urn:ietf:rfc:3986","value":"urn:uuid:aa"}],
         "subject":{"reference":"urn:uuid:aa","display":"caf\u00e9 \/ ünï"},
         "performer":[{"reference":"Practitioner?identifier=http:\/\/n|1"},{"reference":"#in"},
           {"reference":"https://elsewhere.example/Practitioner/9"},{"reference":"Device/d1"}],
         "extension":[{"url":"http://x","valueReference":{"reference":"urn:uuid:aa"}}],
         "valueQuantity":{"value":1.00}}},
      {"resource":{"resourceType":"DocumentReference","id":"d",
         "content":[{"attachment":{"url":"urn:uuid:bb"}},{"attachment":{"url":"urn:uuid:zz"}}]}},
      {"request":{"method":"DELETE","url":"Patient/gone"}}]}"##;
    let practitioner = r#"{"resourceType":"Practitioner","id":"dr","identifier":[{"system":"http://n","value":"1"}]}"#;
    let lines = format!("{practitioner}\n\n{{\"log\":1}}\n");
    let folder = Folder::new("relative", &[("a.json", bundle), ("z.ndjson.gz", &lines)]);
    let plan = LoadPlan::default();
    let loaded = Chart::load_with(&[&folder.0], &plan).unwrap();
    assert_eq!((loaded.files, loaded.without_resource, loaded.given_ids), (2, 2, 0));
    let chart = loaded.chart;
    assert_eq!(chart.len(), 4);
    assert_eq!(
        text(&chart, "Patient/p1"),
        r#"{"resourceType":"Patient","id":"p1","x" : 1.00e-3 }"#
    );
    assert_eq!(text(&chart, "Practitioner/dr"), practitioner);
    let start = bundle.find("{ \"id\":\"o1\"").unwrap();
    let end = bundle[start..].find("1.00}}").unwrap() + start + 6;
    let expected = bundle[start..end]
        .replace(r#"reference":"urn:uuid:aa"#, r#"reference":"Patient/p1"#)
        .replace(r#"Practitioner?identifier=http:\/\/n|1"#, "Practitioner/dr");
    assert_eq!(text(&chart, "Observation/o1"), expected);
    let document = text(&chart, "DocumentReference/d");
    assert!(document.contains(r#""url":"Observation/o1""#) && document.contains("urn:uuid:zz"));
}

#[test]
fn resources_without_an_id_get_one_that_stays_the_same() {
    let bundle = r#"{"resourceType":"Bundle","entry":[
      {"fullUrl":"urn:uuid:0f2074a0-4173-1a32-988f-5316d7f1cbbe","resource":{"resourceType":"Patient","active":true}},
      {"resource":{"resourceType":"PractitionerRole","active":true}}]}"#;
    let folder = Folder::new("ids", &[("a.json", bundle)]);
    let chart = folder.load().unwrap();
    let id = "0f2074a0-4173-1a32-988f-5316d7f1cbbe";
    assert_eq!(
        text(&chart, &format!("Patient/{id}")),
        format!(r#"{{"resourceType":"Patient","id":"{id}","active":true}}"#)
    );
    let role = &chart.of_kind("PractitionerRole")[0];
    assert_eq!(role.id.len(), 40);
    assert_eq!(folder.load().unwrap().digest(), chart.digest());
}

#[test]
fn what_leads_nowhere_is_refused_with_its_place_and_kept_when_lenient() {
    let table = [
        ("urn", r#"{"reference":"urn:uuid:secret"}"#, "no entry has this fullUrl"),
        ("none", r#"{"reference":"Location?identifier=s|secret"}"#, "no resource matches"),
        ("other", r#"{"reference":"Location?name=secret"}"#, "no resource matches"),
        ("two", r#"{"reference":"Organization?identifier=same"}"#, "several resources match"),
    ];
    let organizations = r#"{"resourceType":"Organization","id":"a","identifier":[{"value":"same"}]}
        {"resourceType":"Organization","id":"b","identifier":[{"system":"s","value":"same"}]}"#
        .replace("\n        ", "\n");
    for (case, reference, words) in table {
        let resource = format!(
            r#"{{"resourceType":"Encounter","id":"e","location":[{{"location":{reference}}}]}}"#
        );
        let folder = Folder::new(case, &[("e.ndjson", &resource), ("o.ndjson", &organizations)]);
        let error = folder.load().unwrap_err().to_string();
        assert!(
            error.contains("e.ndjson entry 0 Encounter.location[0].location.reference"),
            "{error}"
        );
        assert!(error.contains(words), "{case}: {error}");
        assert!(!error.contains("secret"), "{case}: {error}");
        let lenient = LoadPlan { lenient: true, ..LoadPlan::default() };
        let loaded = Chart::load_with(&[&folder.0], &lenient).unwrap();
        assert_eq!(loaded.unresolved.len(), 1);
        assert_eq!(text(&loaded.chart, "Encounter/e"), resource);
    }
}

#[test]
fn the_same_resource_twice_must_be_the_same() {
    let one = r#"{"resourceType":"Patient","id":"p","active":true}"#;
    let other = one.replace("true", "false");
    let same = Folder::new("same", &[("a.ndjson", one), ("b.ndjson", one)]);
    let loaded = Chart::load_with(&[&same.0], &LoadPlan::default()).unwrap();
    assert_eq!((loaded.chart.len(), loaded.repeated), (1, 1));
    let differing = Folder::new("differing", &[("a.ndjson", one), ("b.ndjson", &other)]);
    let error = differing.load().unwrap_err();
    let words =
        "the same Patient came twice with different content; a.ndjson entry 0; b.ndjson entry 0";
    assert_eq!(error.to_string(), words);
}

#[test]
fn what_is_no_fhir_json_is_refused_without_being_quoted() {
    let deep = format!(
        r#"{{"resourceType":"Patient","id":"p","x":{}1{}}}"#,
        "[".repeat(120),
        "]".repeat(120)
    );
    let table = [
        ("broken", "a.json", r#"{"resourceType":"Bundle","entry":[{"secret"}]}"#),
        ("trailing", "a.json", r#"{"resourceType":"Patient","id":"p"} secret"#),
        ("entry-object", "a.json", r#"{"resourceType":"Bundle","entry":{"secret":1}}"#),
        ("twice", "a.ndjson", r#"{"resourceType":"Patient","id":"p","id":"secret"}"#),
        ("bad-id", "a.ndjson", r#"{"resourceType":"Patient","id":"secret/../x"}"#),
        ("bad-type", "a.ndjson", r#"{"resourceType":"../secret","id":"p"}"#),
        ("number-id", "a.ndjson", r#"{"resourceType":"Patient","id":7}"#),
        ("deep", "a.ndjson", &deep),
    ];
    for (case, file, content) in table {
        let error = Folder::new(case, &[(file, content)]).load().unwrap_err();
        assert!(matches!(error, ChartError::Malformed { .. }), "{case}: {error:?}");
        assert!(
            error.to_string().contains(file) && !error.to_string().contains("secret"),
            "{case}: {error}"
        );
    }
    let folder = Folder::new("bytes", &[]);
    std::fs::write(folder.0.join("a.json"), b"{\"resourceType\":\"\xff\"}").unwrap();
    assert!(matches!(folder.load(), Err(ChartError::Unreadable { .. })));
    std::fs::write(folder.0.join("a.json"), b"{}").unwrap();
    std::fs::write(folder.0.join("b.json.gz"), b"not gzip").unwrap();
    assert!(matches!(folder.load(), Err(ChartError::Unreadable { .. })));
    assert!(matches!(
        Chart::load(&folder.0.join("none.json"), None),
        Err(ChartError::Unreadable { .. })
    ));
}

#[test]
fn only_as_many_patients_as_asked_for_with_what_is_theirs() {
    let bundle = |id: &str| {
        format!(
            r#"{{"resourceType":"Bundle","entry":[
            {{"fullUrl":"urn:uuid:{id}","resource":{{"resourceType":"Patient","id":"{id}"}}}},
            {{"resource":{{"resourceType":"Condition","id":"c{id}","subject":{{"reference":"urn:uuid:{id}"}}}}}},
            {{"resource":{{"resourceType":"Medication","id":"m{id}"}}}}]}}"#
        )
    };
    let files = [
        ("a.json", &*bundle("1")),
        ("b.json", &bundle("2")),
        ("c.json", r#"{"resourceType":"Location","id":"l"}"#),
    ];
    let folder = Folder::new("few-bundles", &files);
    let chart = Chart::load(&folder.0, Some(1)).unwrap();
    let references: Vec<_> = chart.iter().map(sim::ChartResource::reference).collect();
    assert_eq!(references, ["Condition/c1", "Location/l", "Medication/m1", "Patient/1"]);

    let patients =
        "{\"resourceType\":\"Patient\",\"id\":\"1\"}\n{\"resourceType\":\"Patient\",\"id\":\"2\"}";
    let conditions = ["1", "2"].map(|id| {
        format!(r#"{{"resourceType":"Condition","id":"c{id}","subject":{{"reference":"Patient/{id}"}}}}"#)
    });
    let folder = Folder::new(
        "few-lines",
        &[("Condition.ndjson", &conditions.join("\n")), ("Patient.ndjson", patients)],
    );
    let chart = Chart::load(&folder.0, Some(1)).unwrap();
    let references: Vec<_> = chart.iter().map(sim::ChartResource::reference).collect();
    assert_eq!(references, ["Condition/c1", "Patient/1"]);
    assert!(Chart::load(&folder.0, Some(0)).unwrap().is_empty());
}

/// JSON as nobody should write it, from a seed.
struct Weird(u64);

impl Weird {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn space(&mut self) -> &'static str {
        ["", "", " ", "\n\t", "  "][self.below(5) as usize]
    }

    fn string(&mut self) -> &'static str {
        let strings = [
            r#""""#,
            r#""reference""#,
            r#""url""#,
            r#""refer\u0065nce""#,
            r#""a\"b""#,
            r#""\\""#,
            r#""\\\"{""#,
            r#""]},:""#,
            r#""é\ud83d\ude00""#,
            r#""urn:uuid:1""#,
            r#""\/""#,
        ];
        strings[self.below(strings.len() as u64) as usize]
    }

    fn value(&mut self, depth: u64, out: &mut String) {
        out.push_str(self.space());
        match self.below(if depth > 6 { 5 } else { 9 }) {
            0 => out.push_str("-1.00e+5"),
            1 => out.push_str("null"),
            2..=4 => out.push_str(self.string()),
            5 | 6 => self.list(depth, "[", "]", out),
            _ => self.list(depth, "{", "}", out),
        }
        out.push_str(self.space());
    }

    fn list(&mut self, depth: u64, open: &str, close: &str, out: &mut String) {
        out.push_str(open);
        for place in 0..self.below(4) {
            out.push_str(if place > 0 { "," } else { "" });
            if open == "{" {
                out.push_str(self.space());
                out.push_str(self.string());
                out.push_str(self.space());
                out.push(':');
            }
            self.value(depth + 1, out);
        }
        out.push_str(self.space());
        out.push_str(close);
    }
}

/// What a tree reader finds under `reference` and `url`, in order of the text: written by events,
/// because a tree would lose members that come twice.
fn strings_by_parser(text: &str) -> Vec<String> {
    use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
    struct Wanted<'a>(&'a mut Vec<String>, bool);
    impl<'de> DeserializeSeed<'de> for Wanted<'_> {
        type Value = ();
        fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
            from.deserialize_any(self)
        }
    }
    impl<'de> Visitor<'de> for Wanted<'_> {
        type Value = ();
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("anything")
        }
        fn visit_unit<E>(self) -> Result<(), E> {
            Ok(())
        }
        fn visit_str<E>(self, text: &str) -> Result<(), E> {
            if self.1 {
                self.0.push(text.to_owned());
            }
            Ok(())
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
            while items.next_element_seed(Wanted(&mut *self.0, false))?.is_some() {}
            Ok(())
        }
        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
            while let Some(name) = members.next_key::<String>()? {
                // With arbitrary precision, a number arrives as a map of one private member.
                let wanted = name == "reference" || name == "url";
                members.next_value_seed(Wanted(&mut *self.0, wanted))?;
            }
            Ok(())
        }
    }
    let mut found = Vec::new();
    let mut reader = serde_json::Deserializer::from_str(text);
    Wanted(&mut found, false).deserialize(&mut reader).unwrap();
    found
}

#[test]
fn the_scanner_finds_what_a_parser_finds_and_splices_leave_the_rest_alone() {
    let mut weird = Weird(42);
    let mut met = 0;
    for _ in 0..20_000 {
        let mut source = String::new();
        weird.list(0, "{", "}", &mut source);
        let found = references(&source).unwrap();
        let spelt: Vec<_> =
            found.iter().map(|f| string_at(&source, &f.span).unwrap().into_owned()).collect();
        assert_eq!(spelt, strings_by_parser(&source), "{source}");
        met += found.len();

        let edits: Vec<_> =
            found.iter().map(|f| Edit::string(f.span.clone(), "Type/\"id")).collect();
        let spliced = String::from_utf8(splice(&source, edits)).unwrap();
        let again = references(&spliced).unwrap();
        assert!(again.iter().all(|f| string_at(&spliced, &f.span).unwrap() == "Type/\"id"));
        let back: Vec<_> = again
            .iter()
            .zip(&found)
            .map(|(new, old)| Edit {
                span: new.span.clone(),
                text: source[old.span.clone()].to_owned(),
            })
            .collect();
        assert_eq!(splice(&spliced, back), source.as_bytes());
    }
    assert!(met > 5_000, "{met}");
}

/// The scanner ends on any text, even though only JSON means anything to it.
#[test]
fn the_scanner_ends_on_any_text() {
    for text in ["", "\"", "\"\\", "{\"reference\":\"", "]]]}", ",,,", "{{{{\"url\":\"x\"", "\"é"]
    {
        let _ = references(text);
    }
    let path = references(r#"{"a":[0,{"b":{"reference":"x"}}],"url":"y"}"#).unwrap();
    let paths: Vec<_> = path.iter().map(|found| (found.path.as_str(), found.member)).collect();
    assert_eq!(paths, [("a[1].b.reference", Member::Reference), ("url", Member::Url)]);
}
