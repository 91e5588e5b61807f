//! No patient in words: whatever the houses are asked, however badly, nothing that tells who a
//! patient is stands in what they print, log, answer as an error or write into their ledgers.
//!
//! How: an EHR, a sending house and two plans run as processes at the finest level of the log.
//! Good and bad requests carry the patients' names, numbers, birth dates and addresses wherever
//! a sender can put one. Then all that was said is searched for every secret of every patient.
//! Not searched: the answers of `find` and `show --page`, which are made to show a patient.

use crate::common::{House, Process, RUNTIME, Said, free_address};
use bytes::Bytes;
use exchange::Chain;
use handover::house;
use sim::town::Person;
use sim::{Town, TownPlan};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use store::House as _;
use wire::{FhirClient, HttpTransport, SystemClock, Transport};

const SEED: u64 = 23;
const PATIENTS: usize = 4;

/// Everything that was said, with where.
#[derive(Default)]
struct Heard(Vec<(String, String)>);

impl Heard {
    fn note(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.0.push((place.into(), text.into()));
    }

    fn said(&mut self, said: &Said) {
        let words = said.words.first().cloned().unwrap_or_default();
        self.note(format!("stderr of {words}"), said.stderr.as_str());
        let shows_a_patient =
            ["find", "--page"].iter().any(|word| said.words.iter().any(|one| one == word));
        if !shows_a_patient || said.code == 2 {
            self.note(format!("stdout of {words}"), said.stdout.as_str());
        }
    }

    /// Every kind of place where a secret stands: what is around it, without the secret.
    fn leaks(&self, secrets: &BTreeSet<String>) -> BTreeSet<String> {
        let search = Search::of(secrets);
        let mut leaks = BTreeSet::new();
        for (place, text) in &self.0 {
            for (from, to) in search.all(text) {
                let before = text[..from].lines().next_back().unwrap_or_default();
                let after = text[to..].lines().next().unwrap_or_default();
                let before: Vec<char> = before.chars().rev().take(120).collect();
                let before: String = before.into_iter().rev().collect();
                let after: String = after.chars().take(60).collect();
                let mut around = format!("{place}: {before}[secret]{after}");
                secrets.iter().for_each(|secret| around = around.replace(secret, "[secret]"));
                leaks.insert(around);
            }
        }
        leaks
    }
}

/// All secrets at once, by the two bytes they begin with: what is searched is large.
struct Search<'s> {
    by_start: BTreeMap<[u8; 2], Vec<&'s str>>,
    starts: Vec<bool>,
}

impl<'s> Search<'s> {
    fn of(secrets: &'s BTreeSet<String>) -> Search<'s> {
        let mut search = Search { by_start: BTreeMap::new(), starts: vec![false; 1 << 16] };
        for secret in secrets {
            let start = [secret.as_bytes()[0], secret.as_bytes()[1]];
            search.by_start.entry(start).or_default().push(secret);
            search.starts[usize::from(u16::from_be_bytes(start))] = true;
        }
        search
    }

    /// The place of every secret in a text.
    fn all(&self, text: &str) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        for (at, pair) in text.as_bytes().windows(2).enumerate() {
            let start = [pair[0], pair[1]];
            if self.starts[usize::from(u16::from_be_bytes(start))] {
                let here = |secret: &&&str| text[at..].starts_with(**secret);
                let secrets = self.by_start[&start].iter().filter(here);
                found.extend(secrets.map(|secret| (at, at + secret.len())));
            }
        }
        found
    }
}

struct Town23 {
    ehr: Option<Process>,
    provider: House,
    payers: Vec<House>,
    town: Town,
    ehr_folder: PathBuf,
    _folder: tempfile::TempDir,
}

impl Town23 {
    fn open() -> Town23 {
        let plan = TownPlan {
            hospitals: 1,
            plans: 2,
            patients_per_hospital: PATIENTS,
            ..TownPlan::default()
        };
        let town = Town::generate(SEED, &plan);
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        let source = format!("https://{address}/fhir");
        let mut provider = House::provider(&folder.path().join("hospital"), &source);
        provider.log = "trace".to_owned();
        let ehr_folder = folder.path().join("ehr");
        let public = provider.folder.join("public.json");
        let numbers = [SEED.to_string(), PATIENTS.to_string(), address.to_string()];
        let words = [
            ["sim", "ehr", ehr_folder.to_str().unwrap(), "--plans", "2"],
            ["--seed", &numbers[0], "--patients", &numbers[1], "--tethered"],
            ["--listen", &numbers[2], "--client", public.to_str().unwrap(), "--json"],
        ];
        let ehr = Process::until_ready(&words.concat(), &[("HANDOVER_LOG", "trace")]);
        let authority = fs::read(ehr_folder.join("authority.pem")).unwrap();
        fs::write(provider.folder.join("tls/ehr-authority.pem"), authority).unwrap();
        fs::copy(ehr_folder.join("restrictions.toml"), provider.folder.join("restrictions.toml"))
            .unwrap();
        let payers = town.plans.iter().map(|plan| {
            let folder = folder.path().join(format!("plan-{}", plan.payer_id.value));
            let mut payer = House::payer(&folder, plan);
            payer.log = "trace".to_owned();
            payer.add_partner(&provider);
            provider.add_partner(&payer);
            payer
        });
        let payers = payers.collect();
        Town23 { ehr: Some(ehr), provider, payers, town, ehr_folder, _folder: folder }
    }

    fn serve(&mut self) {
        self.payers.iter_mut().for_each(House::serve);
        self.provider.serve();
    }

    fn people(&self) -> &[Person] {
        &self.town.hospitals[0].patients
    }

    fn secrets(&self) -> BTreeSet<String> {
        self.people().iter().flat_map(Person::secrets).collect()
    }

    /// The sending house as the plan's door sees it.
    fn sender(&self, payer: &House) -> FhirClient {
        let config = self.provider.config();
        let clock: Arc<dyn wire::Clock> = Arc::new(SystemClock);
        let live = handover::live::Live::new(&config, &clock);
        handover::carriage::partner_client(&live, &config, &self.provider.memory(), &payer.public())
            .unwrap()
    }
}

#[test]
fn whatever_is_asked_no_patient_is_told_in_words() {
    let mut town = Town23::open();
    let mut heard = Heard::default();
    what_people_do(&mut town);
    what_people_mistype(&town);
    bad_bundles(&town, &mut heard);
    bad_searches(&town, &mut heard);
    bad_sign_ins(&town, &mut heard);
    bad_commands(&town, &mut heard);
    bad_files(&mut town);

    let secrets = town.secrets();
    listen(&mut town, &mut heard);
    for word in ["stderr of serve", "stderr of sim", "ledger of hospital", "POST /", "GET "] {
        let said = heard.0.iter().filter(|(place, _)| place.starts_with(word));
        assert!(said.map(|(_, text)| text.len()).sum::<usize>() > 0, "nothing was heard of {word}");
    }
    let aloud = Heard(vec![("find".to_owned(), found_aloud(&town))]);
    assert!(!aloud.leaks(&secrets).is_empty(), "what is made to show a patient is seen to");
    let leaks = heard.leaks(&secrets);
    let shown: Vec<_> = leaks.iter().take(40).collect();
    assert!(leaks.is_empty(), "{} leaks, such as {shown:#?}", leaks.len());
}

/// What `find` printed for somebody who was meant to see it.
fn found_aloud(town: &Town23) -> String {
    let said = town.provider.said.lock().unwrap();
    let found = said.iter().find(|said| said.code == 0 && said.words.iter().any(|w| w == "find"));
    found.map(|said| said.stdout.clone()).unwrap_or_default()
}

/// A usual day at the command line, with and without `--json`.
fn what_people_do(town: &mut Town23) {
    let before = town.provider.run(&["check"]);
    assert_eq!(before.code, 1, "no plan is there yet");
    town.serve();
    let (provider, people) = (&town.provider, town.people());
    for json in [&["--json"][..], &[]] {
        let run = |house: &House, words: &[&str]| house.run(&[json, words].concat());
        run(provider, &["check"]);
        for person in people {
            let found = run(provider, &["find", "--record-number", &person.mrn]);
            assert_eq!(found.code, 0);
            assert!(found.stdout.contains(&person.family), "find is made to show the patient");
        }
        run(provider, &["find", "--date", "2025-03"]);
        for encounter in town.town.hospitals[0].chart.of_kind("Encounter") {
            let said = run(provider, &["explain", "encounter", &encounter.id]);
            assert!(said.code < 2, "{}", said.stdout);
            run(provider, &["push", "encounter", &encounter.id, "--why", "a test"]);
        }
        run(provider, &["push", "encounter", "nobody", "--wait", "5"]);
        let unknown = town.town.planted_unknown_member.as_ref().unwrap();
        let payer = &town.payers[unknown.plan];
        for row in payer.rows().iter().filter(|row| row.state == "held") {
            let words = ["release", &row.id, "--why", "looked again"];
            run(payer, &words);
            run(payer, &[&words[..], &["--member", &unknown.member_id]].concat());
        }
        for house in town.payers.iter().chain([provider]) {
            run(house, &["list"]);
            run(house, &["ledger", "verify"]);
            for row in house.rows() {
                run(house, &["show", &row.id]);
                run(house, &["show", &row.id, "--page"]);
                run(house, &["show", &row.id, "--page", "html"]);
            }
        }
        let rows = provider.rows();
        let settled = rows.iter().find(|row| row.state == "settled").unwrap();
        run(provider, &["withdraw", &settled.id, "--why", "a wrong plan"]);
    }
    town.provider.kill();
    town.provider.serve();
}

/// What a hand puts in the wrong place: a name for an id, a number for a day.
fn what_people_mistype(town: &Town23) {
    // One of each kind.
    let secrets = town.people()[0].secrets();
    let (provider, payer) = (&town.provider, &town.payers[0]);
    for secret in &secrets {
        let secret = secret.as_str();
        // What can be an id is taken for one, and ids of the source stand in the ledger.
        let no_id = format!("{secret} ");
        let lines: [&[&str]; 12] = [
            &["push", "encounter", &no_id],
            &["explain", "encounter", &no_id],
            &["find", "--date", secret],
            &["find", "--record-number", &format!("{secret}|{secret}")],
            &["find", secret],
            &["show", secret],
            &["release", secret, "--why", "a test"],
            &["withdraw", secret, "--why", "a test"],
            &["list", "--state", secret],
            &["list", "--limit", secret],
            &["push", "encounter", "enc-00001", "--purpose", secret],
            &[secret],
        ];
        for line in lines {
            for json in [&[][..], &["--json"]] {
                provider.run(&[json, line].concat());
            }
        }
    }
    let row = payer.rows()[0].id.clone();
    for secret in secrets.iter().take(6) {
        payer.run(&["release", &row, "--why", "a test", "--member", secret]);
        payer.run(&["show", secret]);
    }
}

/// What a sender can send: the secret stands in every place that a reader has an opinion on.
fn bad_bundles(town: &Town23, heard: &mut Heard) {
    let payer = &town.payers[0];
    let sender = town.sender(payer);
    let namespace = town.provider.public().namespace;
    let kept = payer.works(store::WorkKind::Submission);
    let body: exchange::submission::Submission =
        serde_json::from_slice(&kept[0].work.body).unwrap();
    let good = RUNTIME.block_on(payer.memory().blob(&body.digest)).unwrap().unwrap();
    let good = String::from_utf8(good.to_vec()).unwrap();
    let mut bodies = Vec::new();
    for secret in town.secrets() {
        let entry = |resource: &str, method: &str, url: &str| {
            format!(
                r#"{{"resourceType":"Bundle","type":"transaction","identifier":{{"system":"{namespace}/push","value":"1-0123456789abcdef"}},"entry":[{{"fullUrl":"{namespace}/{url}","resource":{resource},"request":{{"method":"{method}","url":"{url}"}}}}]}}"#
            )
        };
        let patient = |rest: &str| format!(r#"{{"resourceType":"Patient","id":"a"{rest}}}"#);
        bodies.extend([
            secret.clone(),
            format!("\"{secret}\""),
            format!(r#"{{"resourceType":"{secret}"}}"#),
            format!(
                r#"{{"resourceType":"Bundle","type":"transaction","{secret}":1,"{secret}":2}}"#
            ),
            format!(r#"{{"resourceType":"Bundle","type":"transaction","id":"{secret}"#),
            format!(r#"{{"resourceType":"Bundle","type":"transaction","entry":[]}} {secret}"#),
            format!(r#"{{"resourceType":"Bundle","type":"transaction","entry":["{secret}"]}}"#),
            entry(&patient(""), "PUT", &secret),
            entry(&patient(""), "PUT", &format!("Patient/{secret}")),
            entry(&patient(""), "PUT", &format!("Patient?identifier={secret}")),
            entry(&patient(""), "POST", &format!("Patient?name={secret}")),
            entry(&patient(&format!(r#","name":"{secret}""#)), "PUT", "Patient/a"),
            entry(&patient(&format!(r#","birthDate":{{"a":"{secret}"}}"#)), "PUT", "Patient/a"),
            entry(&patient(&format!(r#","birthDate":"{secret} or so""#)), "PUT", "Patient/a"),
            entry(&patient(&format!(r#","{secret}":"{secret}""#)), "PUT", "Patient/a"),
            entry(
                &patient(&format!(r#","managingOrganization":{{"reference":"{secret}"}}"#)),
                "PUT",
                "Patient/a",
            ),
            entry(
                &patient(&format!(
                    r#","managingOrganization":{{"reference":"Organization?name={secret}"}}"#
                )),
                "PUT",
                "Patient/a",
            ),
            entry(&patient(&format!(r#","meta":{{"source":"{secret}"}}"#)), "PUT", "Patient/a"),
            entry(
                &format!(r#"{{"resourceType":"Observation","id":"{secret}","status":"final"}}"#),
                "PUT",
                "Observation/a",
            ),
            entry(
                &format!(r#"{{"resourceType":"Observation","id":"a","{secret}"}}"#),
                "PUT",
                "Observation/a",
            ),
            good.replacen("-", &format!("-{secret}"), 1),
            good.replacen("\"Patient\"", &format!("\"{secret}\""), 1),
            good.replacen("Patient/", &format!("Patient/{secret}"), 3),
            good.replacen("\"birthDate\":\"", &format!("\"birthDate\":\"{secret}"), 1),
            good.replacen("\"value\":\"", &format!("\"value\":\"{secret}"), 1),
            good.replacen("/Encounter/", &format!("/{secret}/"), 1),
        ]);
    }
    // As it stands, and in a charset, a coding and a form that no reader knows.
    bodies.push(good.clone());
    for (place, body) in bodies.into_iter().enumerate() {
        let kind = ["application/fhir+json", "application/json", "application/fhir+xml"];
        let kind = if place % 97 == 96 { kind[2] } else { kind[place % 2] };
        let answer = RUNTIME.block_on(sender.post("", kind, Bytes::from(body)));
        note(heard, "POST /", answer.as_ref().map(|answer| (answer.status(), answer.body())).ok());
    }
}

/// An error's body must not tell; an answer's may, it is made of records.
fn note(heard: &mut Heard, place: &str, answer: Option<(http::StatusCode, &Bytes)>) {
    let Some((status, body)) = answer else { return };
    if !status.is_success() || status.as_u16() == 202 {
        heard.note(format!("{place} answered {status}"), String::from_utf8_lossy(body));
    }
}

fn encoded(secret: &str) -> String {
    secret.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn bad_searches(town: &Town23, heard: &mut Heard) {
    let payer = &town.payers[0];
    let sender = town.sender(payer);
    let mut paths = Vec::new();
    for secret in town.secrets() {
        for secret in [encoded(&secret), secret.replace(' ', "+").replace('@', "%40")] {
            paths.extend([
                format!("Patient?name={secret}"),
                format!("Patient?identifier={secret}"),
                format!("Patient?_id={secret}"),
                format!("Patient?{secret}={secret}"),
                format!("Patient?name:{secret}=x"),
                format!("Patient?_lastUpdated=gt{secret}"),
                format!("Patient?_count={secret}"),
                format!("Patient?birthdate={secret}"),
                format!("Observation?patient={secret}&date={secret}"),
                format!("Observation?subject:Patient.name={secret}"),
                format!("Observation?patient=Patient/{secret}&_sort={secret}"),
                format!("Patient/{secret}"),
                format!("Patient/{secret}/_history/{secret}"),
                format!("Patient/a/{secret}"),
                secret.clone(),
                format!("{secret}/{secret}"),
                format!("status/{secret}"),
                format!("status/{secret}/{secret}"),
                format!("../{secret}"),
            ]);
        }
    }
    for path in paths {
        let answer = RUNTIME.block_on(sender.get(&path));
        note(heard, "GET", answer.as_ref().map(|answer| (answer.status(), answer.body())).ok());
    }
}

/// Requests of strangers, below the token endpoint and elsewhere.
fn bad_sign_ins(town: &Town23, heard: &mut Heard) {
    let payer = &town.payers[0];
    let roots = [payer.public().authority.into_bytes()];
    let transport = HttpTransport::new(&roots, Duration::from_secs(30), 1 << 20).unwrap();
    let base = payer.public().base_url;
    let discovery = format!("{base}/.well-known/smart-configuration");
    let send = |method: &str, url: &str, headers: &[(&str, &str)], body: String| {
        let mut request = http::Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Bytes::from(body)).ok()?;
        RUNTIME.block_on(transport.send(request)).ok()
    };
    let found = send("GET", &discovery, &[], String::new()).unwrap();
    let found: serde_json::Value = serde_json::from_slice(found.body()).unwrap();
    let token = found["token_endpoint"].as_str().unwrap().to_owned();
    let form = ("content-type", "application/x-www-form-urlencoded");
    for secret in town.secrets() {
        let word = encoded(&secret);
        let jwt = |part: &str| base64url(format!(r#"{{"alg":"ES384","kid":"{part}"}}"#).as_bytes());
        let claims = base64url(format!(r#"{{"iss":"{secret}","sub":"{secret}"}}"#).as_bytes());
        let kind = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
        let forms = [
            format!("grant_type={word}&scope={word}"),
            format!(
                "grant_type=client_credentials&scope={word}&client_assertion_type={word}&client_assertion={word}"
            ),
            format!(
                "grant_type=client_credentials&scope=system%2F*.rs&client_assertion_type={kind}&client_assertion={}.{claims}.{word}",
                jwt(&secret)
            ),
            format!("{word}={word}&{word}"),
            secret.clone(),
        ];
        for body in forms {
            let answer = send("POST", &token, &[form], body);
            note(heard, "POST /token", answer.as_ref().map(|one| (one.status(), one.body())));
        }
        let bearer = format!("Bearer {secret}");
        let url = format!("{base}/Patient?identifier={word}");
        let header = [("authorization", bearer.as_str()), ("if-match", secret.as_str())];
        for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
            let answer = send(method, &url, &header, secret.clone());
            note(heard, method, answer.as_ref().map(|one| (one.status(), one.body())));
        }
        let answer = send("POST", &base, &[("content-type", secret.as_str())], secret.clone());
        note(heard, "POST /", answer.as_ref().map(|one| (one.status(), one.body())));
    }
}

fn base64url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// The house's own API, asked badly by its own operator.
fn bad_commands(town: &Town23, heard: &mut Heard) {
    for house in [&town.provider, &town.payers[0]] {
        let client = house::operator_client(&house.config(), Duration::from_secs(30)).unwrap();
        for secret in town.secrets() {
            let bodies = [
                ("push", format!(r#"{{"encounter":"{secret}"}}"#)),
                (
                    "explain",
                    format!(
                        r#"{{"encounter":"{secret} ","who":{{"name":"a","role":"b","why":"c"}}}}"#
                    ),
                ),
                ("push", format!(r#"{{"encounter":["{secret}"],"who":"{secret}"}}"#)),
                (
                    "push",
                    format!(
                        r#"{{"encounter":"x","purpose":"{secret}","who":{{"name":"a","role":"b","why":"c"}}}}"#
                    ),
                ),
                ("find", format!(r#"{{"record_number":{{"a":"{secret}"}}}}"#)),
                ("find", format!(r#"{{"{secret}":1}}"#)),
                (
                    "find",
                    format!(r#"{{"date":"{secret}","who":{{"name":"a","role":"b","why":"c"}}}}"#),
                ),
                ("show", format!(r#"{{"id":"{secret}"}}"#)),
                ("show", format!(r#"{{"id":"{secret}","page":"{secret}"}}"#)),
                ("release", format!(r#"{{"id":"{secret}","member":7}}"#)),
                ("list", format!(r#"{{"states":"{secret}"}}"#)),
                ("list", format!(r#"{{"command":"{secret}"}}"#)),
                ("list", secret.clone()),
            ];
            for (name, body) in bodies {
                let answer =
                    RUNTIME.block_on(client.post(name, "application/json", Bytes::from(body)));
                note(heard, "API", answer.as_ref().map(|one| (one.status(), one.body())).ok());
            }
            let path = encoded(&secret);
            let answer = RUNTIME.block_on(client.post(&path, "application/json", Bytes::new()));
            note(heard, "API", answer.as_ref().map(|one| (one.status(), one.body())).ok());
        }
    }
}

/// Files that people write, with mistakes beside or in a secret. A house at work must say so too.
fn bad_files(town: &mut Town23) {
    let secrets = town.people()[0].secrets();
    let encounter = town.town.hospitals[0].chart.of_kind("Encounter")[0].id.clone();
    let members = town.payers[0].read("members.csv");
    let restrictions = town.provider.read("restrictions.toml");
    let agreement = format!("agreements/{}.toml", town.payers[0].name);
    let terms = town.provider.read(&agreement);
    let house = town.provider.read("house.toml");
    for secret in &secrets {
        let rows = [
            format!("{members}{secret}\n"),
            format!("{members}{secret},{secret},{secret},{secret},{secret}\n"),
            format!("{members}{secret},{secret},{secret},1950-01-01,female,{secret}\n"),
            format!("{members}\"{secret}\n"),
            format!("{secret},family,given,birth_date,gender\n"),
        ];
        for text in rows {
            town.payers[0].write("members.csv", &text);
            town.payers[0].run(&["check"]);
        }
        for text in [
            format!("{restrictions}\n[[restriction]]\nsubject = \"{secret}\"\nreason = \"x\"\n"),
            format!("{restrictions}\n[[restriction]]\nsubject = {secret}\n"),
            format!("{restrictions}\n[[restriction]]\nsubject = \"Patient/x\"\n\"{secret}\" = 1\n"),
            format!(
                "{restrictions}\n[[restriction]]\nsubject = \"Patient/x\"\nreason = \"x\"\npayers = [\"{secret}\"]\n"
            ),
        ] {
            town.provider.write("restrictions.toml", &text);
            town.provider.run(&["explain", "encounter", &encounter]);
            town.provider.run(&["check"]);
        }
    }
    town.payers[0].write("members.csv", &members);
    town.provider.write("restrictions.toml", &restrictions);
    let payors = town.provider.read("payors.toml");
    for secret in secrets.iter().take(8) {
        for text in [
            format!("{payors}\n[[payor]]\nname = \"{secret}\"\n"),
            format!("{payors}\n[[payor]]\nname = {secret}\n"),
            format!("{payors}\n[[payor]]\n\"{secret}\" = 1\n"),
            format!("{payors}\n[[payor]]\nname = \"x\"\npartner = \"{secret}\"\n"),
            format!("{payors}\n[[payor]]\nmember_id = \"*{secret}\"\nnone = \"x\"\n"),
        ] {
            town.provider.write("payors.toml", &text);
            town.provider.run(&["explain", "encounter", &encounter]);
            town.provider.run(&["payor", "list"]);
        }
        town.provider.write("payors.toml", &payors);
        let add = ["restriction", "add", secret, "--reason", "x", "--why", "y"];
        town.provider.run(&add);
        let map = ["payor", "map", secret, "--none", "x", "--why", "y"];
        town.provider.run(&map);
    }
    for secret in secrets.iter().take(8) {
        for text in [
            format!("{terms}\n\"{secret}\" = 1\n"),
            terms.replacen("mode = \"sync\"", &format!("mode = \"{secret}\""), 1),
            terms.replacen("partner = ", &format!("partner = \"{secret}\" #"), 1),
        ] {
            town.provider.write(&agreement, &text);
            town.provider.run(&["check"]);
            town.provider.run(&["list"]);
        }
        town.provider.write(&agreement, &terms);
        for text in [
            format!("{house}\n\"{secret}\" = 1\n"),
            house.replacen("name = ", &format!("name = \"{secret}\" #"), 1),
            house.replacen("listen = ", &format!("listen = \"{secret}\" #"), 1),
        ] {
            town.provider.write("house.toml", &text);
            town.provider.run(&["list"]);
            town.provider.run(&["--json", "list"]);
        }
        town.provider.write("house.toml", &house);
    }
}

/// Ends everything, and takes up what was said and what is written in the ledgers.
fn listen(town: &mut Town23, heard: &mut Heard) {
    town.provider.stop();
    town.payers.iter_mut().for_each(House::stop);
    let ehr = town.ehr.take().unwrap().stop();
    heard.note("stderr of sim ehr", ehr.stderr);
    heard.note("stdout of sim ehr", ehr.stdout);
    assert!(town.ehr_folder.exists());
    for house in town.payers.iter().chain([&town.provider]) {
        house.said.lock().unwrap().iter().for_each(|said| heard.said(said));
        let entries = RUNTIME.block_on(house.memory().entries(1, 1_000_000)).unwrap();
        for entry in entries {
            heard.note(format!("ledger of {}", house.name), entry.body);
            assert!(entry.chain.to_string().parse::<Chain>().is_ok());
        }
        for kind in [store::WorkKind::Push, store::WorkKind::Trigger, store::WorkKind::Submission] {
            for row in house.works(kind) {
                heard.note(
                    format!("rows of {}", house.name),
                    String::from_utf8_lossy(&row.work.body),
                );
            }
        }
    }
}
