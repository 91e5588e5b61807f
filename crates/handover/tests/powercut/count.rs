//! Count: what the clients were told, kept by themselves, and what must then be there.
//!
//! Comes in   each request as it is sent, each answer as it comes; later what a house remembers.
//! Goes out   nothing, or the first thing that is not as it was said.
//! Never      asks the house what it should hold.

use crate::common::RUNTIME;
use crate::load::{Asked, Load, Request, Whose};
use crate::sender::Told;
use exchange::submission::Submission;
use exchange::{Chain, Digest};
use futures_util::future::join_all;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use store::{AnyHouse, House as _, Record, WorkKind, WorkQuery};

/// Enough for every run.
const ALL: u32 = 1_000_000;

/// Lines of the ledger that a filed submission has: received, matched, filed, answered.
const LINES: usize = 4;

/// Requests that are looked for at the same time.
const AT_ONCE: usize = 16;

/// What a client knows of a request.
#[derive(Debug, Clone)]
enum Known {
    NotSent,
    /// Sent, and nothing came back: it may be there.
    Sent,
    /// Answered with 2xx, in these words.
    Answered(Told),
}

/// The count of all clients of a run.
pub(crate) struct Count {
    requests: Vec<Arc<Request>>,
    known: Mutex<Vec<Known>>,
}

/// What the house holds of a request.
struct Held {
    submission: Submission,
    versions: Vec<Record>,
}

impl Count {
    pub(crate) fn of(load: &Load) -> Count {
        let known = Mutex::new(vec![Known::NotSent; load.requests.len()]);
        Count { requests: load.requests.clone(), known }
    }

    pub(crate) fn sends(&self, request: &Request) {
        let mut known = self.known.lock().unwrap();
        if matches!(known[request.number], Known::NotSent) {
            known[request.number] = Known::Sent;
        }
    }

    /// Takes an answer up; fails where the same request was answered otherwise before. Says
    /// whether it is answered now: a house that is busy may be asked again.
    pub(crate) fn hears(&self, request: &Request, told: Told) -> bool {
        if told.status == 503 {
            return false;
        }
        let words = String::from_utf8_lossy(&told.body).into_owned();
        assert_eq!(told.status, 200, "request {}: {words}", request.number);
        let mut known = self.known.lock().unwrap();
        if let Known::Answered(first) = &known[request.number] {
            assert!(request.key, "only what has a key is sent again");
            assert_eq!(first.body, told.body, "request {}: the first answer again", request.number);
        }
        known[request.number] = Known::Answered(told);
        true
    }

    /// Something that was answered and has a key.
    pub(crate) fn answered_before(&self, draw: usize) -> Option<Arc<Request>> {
        let known = self.known.lock().unwrap();
        let is_answered =
            |one: &&Arc<Request>| one.key && matches!(known[one.number], Known::Answered(_));
        let all: Vec<_> = self.requests.iter().filter(is_answered).collect();
        (!all.is_empty()).then(|| Arc::clone(all[draw % all.len()]))
    }

    pub(crate) fn answered(&self) -> usize {
        let known = self.known.lock().unwrap();
        known.iter().filter(|known| matches!(known, Known::Answered(_))).count()
    }

    /// Fails unless the house remembers what was answered, once and whole, and of everything else
    /// all or nothing.
    pub(crate) fn check(&self, memory: &AnyHouse, case: &str) {
        let known = self.known.lock().unwrap().clone();
        let held = RUNTIME.block_on(self.held(memory, case));
        for request in &self.requests {
            let case = format!("{case}, request {}", request.number);
            let here = held.get(&request.number);
            match &known[request.number] {
                Known::Answered(_) => assert!(here.is_some(), "{case}: answered, and lost"),
                Known::NotSent => assert!(here.is_none(), "{case}: never sent, and here"),
                Known::Sent => {}
            }
        }
        let histories = histories(&held);
        self.check_own(&histories, &held, case);
        let once = self.check_once(&histories, &held, case);
        RUNTIME.block_on(async {
            let all: Vec<_> = held.iter().collect();
            for some in all.chunks(AT_ONCE) {
                let check = |(number, here): (&usize, _)| {
                    let case = format!("{case}, request {number}");
                    let request = &self.requests[*number];
                    if let Known::Answered(told) = &known[*number] {
                        check_answer(request, told, &histories, &once, &case);
                    }
                    self.check_whole(memory, request, here, case)
                };
                join_all(some.iter().copied().map(check)).await;
            }
            check_lines(memory, &held, case).await;
        });
    }

    /// Everything the house holds, by the request that brought it.
    async fn held(&self, memory: &AnyHouse, case: &str) -> BTreeMap<usize, Held> {
        let by_digest: HashMap<Digest, usize> =
            self.requests.iter().map(|one| (one.digest, one.number)).collect();
        let mut by_receipt = HashMap::new();
        let mut held = BTreeMap::new();
        let query =
            WorkQuery { kind: Some(WorkKind::Submission), limit: ALL, ..WorkQuery::default() };
        for row in memory.works(query).await.unwrap() {
            let submission: Submission = serde_json::from_slice(&row.work.body).unwrap();
            assert_eq!(submission.state_word(), "filed", "{case}");
            let number = *by_digest.get(&submission.digest).expect("nobody sent this");
            by_receipt.insert(submission.id.to_string(), number);
            let before = held.insert(number, Held { submission, versions: Vec::new() });
            assert!(before.is_none(), "{case}: request {number} was taken twice");
        }
        for version in memory.dump(None, ALL).await.unwrap() {
            let number = by_receipt.get(&version.receipt);
            let name = format!("{}/{} version {}", version.kind, version.id, version.version);
            let number = number.unwrap_or_else(|| panic!("{case}: nobody brought {name}"));
            held.get_mut(number).unwrap().versions.push(version);
        }
        held
    }

    /// The records that one client writes alone have exactly the versions that its requests make,
    /// one after the other.
    fn check_own(&self, histories: &Histories, held: &BTreeMap<usize, Held>, case: &str) {
        let mut expected = Histories::new();
        for number in held.keys() {
            for asked in
                self.requests[*number].entries.iter().filter(|asked| asked.whose == Whose::Own)
            {
                let versions = expected.entry((asked.kind.clone(), asked.id.clone())).or_default();
                let wanted = asked.content.as_ref().map(|content| Digest::of(content));
                match versions.last_mut() {
                    // What is as it was, or as gone as it was, is so by the word of who said it last.
                    Some((brought, standing)) if *standing == wanted => *brought = *number,
                    None if wanted.is_none() => {}
                    _ => versions.push((*number, wanted)),
                }
            }
        }
        for ((kind, id), versions) in &expected {
            let found = histories.get(&(kind.clone(), id.clone())).cloned().unwrap_or_default();
            assert_eq!(&found, versions, "{case}: the versions of {kind}/{id}");
        }
        let others: BTreeSet<(&str, &str)> = held
            .keys()
            .flat_map(|number| &self.requests[*number].entries)
            .filter(|asked| asked.whose != Whose::Own)
            .map(|asked| (asked.kind.as_str(), asked.id.as_str()))
            .collect();
        for record in histories.keys() {
            let known = expected.contains_key(record);
            let known = known || others.contains(&(record.0.as_str(), record.1.as_str()));
            assert!(known, "{case}: nobody asked for {record:?}");
        }
    }

    /// What was to be created unless it is there was created by one of those who asked; where each
    /// of them was told that it is.
    fn check_once(&self, histories: &Histories, held: &BTreeMap<usize, Held>, case: &str) -> Once {
        let mut asked: BTreeMap<usize, Vec<(String, String)>> = BTreeMap::new();
        for number in held.keys() {
            for one in &self.requests[*number].entries {
                if let Whose::Once(which) = one.whose {
                    let record = (one.kind.clone(), one.id.clone());
                    asked.entry(which).or_default().push(record);
                }
            }
        }
        let created = |(which, all): (usize, Vec<(String, String)>)| {
            let there = |record: &(String, String)| histories.contains_key(record);
            let created: Vec<_> = all.into_iter().filter(there).collect();
            let [record] = &created[..] else {
                panic!("{case}: {} were created under identifier {which}", created.len());
            };
            assert_eq!(histories[record].len(), 1, "{case}: {record:?} is as it was created");
            (which, record.clone())
        };
        asked.into_iter().map(created).collect()
    }

    /// All of a request is there: its body, its contents, its first answer.
    async fn check_whole(&self, memory: &AnyHouse, request: &Request, here: &Held, case: String) {
        let body = memory.blob(&request.digest).await.unwrap();
        assert_eq!(body.as_ref(), Some(&request.body), "{case}: the body as it arrived");
        let answer = here.submission.answer.expect("a filed submission has an answer");
        let answer = memory.blob(&answer).await.unwrap();
        assert!(answer.is_some(), "{case}: the answer is kept");
        if let Some(key) = &here.submission.key {
            let first = memory.first_answer(&here.submission.sender, key).await.unwrap();
            let first = first.map(|first| (first.digest, first.body));
            assert_eq!(first, answer.map(|answer| (request.digest, answer)), "{case}: the key");
        }
        assert_eq!(here.submission.key.is_some(), request.key, "{case}");
        for version in &here.versions {
            let asks = |asked: &&Asked| (&asked.kind, &asked.id) == (&version.kind, &version.id);
            let asked = request.entries.iter().find(asks);
            let asked = asked.unwrap_or_else(|| panic!("{case}: it wrote what it did not ask"));
            let number = Some(version.version);
            let found = memory.record(&version.kind, &version.id, number).await.unwrap();
            let found = found.and_then(|found| found.content);
            assert_eq!(found, asked.content, "{case}: {}/{}", version.kind, version.id);
        }
        for asked in request.entries.iter().filter(|asked| asked.whose == Whose::Shared) {
            let wrote = here.versions.iter().filter(|one| one.id == asked.id).count();
            assert_eq!(wrote, 1, "{case}: {}/{}", asked.kind, asked.id);
        }
    }
}

/// Which request wrote a version, and the content; `None` for a deletion.
type Wrote = (usize, Option<Digest>);

/// Of each record, its versions in their order.
type Histories = BTreeMap<(String, String), Vec<Wrote>>;

/// The one record of each that was to be created once.
type Once = BTreeMap<usize, (String, String)>;

/// Fails where the versions of a record have a gap.
fn histories(held: &BTreeMap<usize, Held>) -> Histories {
    let mut all: BTreeMap<(String, String), BTreeMap<u64, Wrote>> = BTreeMap::new();
    for (number, here) in held {
        for version in &here.versions {
            let record = (version.kind.clone(), version.id.clone());
            let wrote = (*number, (!version.deleted).then_some(version.digest));
            let before = all.entry(record).or_default().insert(version.version, wrote);
            assert!(before.is_none(), "two versions have one number");
        }
    }
    let gapless = |(record, versions): ((String, String), BTreeMap<u64, _>)| {
        let numbers = versions.keys().copied();
        assert!(numbers.eq(1..=versions.len() as u64), "{record:?} has a gap");
        (record, versions.into_values().collect())
    };
    all.into_iter().map(gapless).collect()
}

/// What the answer said of each entry is so.
fn check_answer(request: &Request, told: &Told, histories: &Histories, once: &Once, case: &str) {
    let said = told.json();
    let entries = said["entry"].as_array().unwrap();
    assert_eq!(entries.len(), request.entries.len(), "{case}");
    for (asked, said) in request.entries.iter().zip(entries) {
        let record = match asked.whose {
            Whose::Once(which) => once[&which].clone(),
            Whose::Own | Whose::Shared => (asked.kind.clone(), asked.id.clone()),
        };
        let Some(location) = said["response"]["location"].as_str() else {
            assert!(asked.content.is_none(), "{case}: {record:?} is nowhere");
            continue;
        };
        let (place, version) = location.split_once("/_history/").unwrap();
        assert!(place.ends_with(&format!("{}/{}", record.0, record.1)), "{case}: {location}");
        let version: usize = version.parse().unwrap();
        let (_, digest) = histories[&record].get(version - 1).copied().unwrap_or_else(|| {
            panic!("{case}: version {version} of {record:?} was answered, and is lost")
        });
        let content = asked.content.as_ref().map(|content| Digest::of(content));
        let others = matches!(asked.whose, Whose::Once(_)) && record.1 != asked.id;
        assert!(others || digest == content, "{case}: version {version} of {record:?}");
    }
}

/// The ledger has no gap, and each submission's lines stand there once.
async fn check_lines(memory: &AnyHouse, held: &BTreeMap<usize, Held>, case: &str) {
    let lines = memory.entries(1, ALL).await.unwrap();
    let numbers = lines.iter().map(|line| line.seq);
    assert!(numbers.eq(1..=lines.len() as u64), "{case}: the ledger has a gap");
    let mut by_chain: HashMap<String, usize> = HashMap::new();
    for line in lines.iter().filter(|line| matches!(line.chain, Chain::Submission(_))) {
        *by_chain.entry(line.chain.to_string()).or_default() += 1;
    }
    let chains: BTreeSet<String> =
        held.values().map(|here| here.submission.chain().to_string()).collect();
    assert_eq!(by_chain.keys().cloned().collect::<BTreeSet<_>>(), chains, "{case}");
    assert!(by_chain.values().all(|lines| *lines == LINES), "{case}: {by_chain:?}");
}

/// The words of `ledger verify`: nothing is broken, and how far it is proved.
pub(crate) fn proved(code: i32, reply: &Value, case: &str) -> u64 {
    assert_eq!((code, &reply["broken"]), (0, &Value::Null), "{case}: {reply}");
    reply["proved_to"].as_u64().unwrap_or(0)
}
