//! Apart: a house that pushes in parts to a payer of another make, each a process that may be ended
//! at any moment, and a second payer whose lane goes on.
//!
//! Comes in   a profile that forces parts; where the house halts, and at which writes the payer is
//!            ended.
//! Goes out   what has arrived at both payers, and what the house says of it.
//! Never      asks twice for what was recorded, and never looks into the payer while it runs: what it
//!            kept is read when it has stopped.

use crate::common::{House, Process, RUNTIME, SimEhr, free_address, who};
use crate::outcome::{all_pushes, pushes, works};
use crate::visits::{PLAN_SYSTEM, PLANS, chart};
use exchange::desk::{Command, Reply};
use exchange::{Code, Issue, State};
use handover::{caller, house};
use serde_json::{Value, json};
use sim::Chart;
use sim::chart::ChartResource;
use sim::payer::{Abilities, Arrived, ForeignPayer, PayerPlan, Profile, Schedule};
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::WorkKind;
use tempfile::TempDir;
use tokio::net::TcpListener;
use wire::{FhirClient, SystemClock};

/// What has not come by then never will: a push waits some seconds after each end.
const PATIENCE: Duration = Duration::from_secs(240);

/// How often the processes are looked at. Nothing depends on it but how soon the test ends.
const LOOK: Duration = Duration::from_millis(3);

/// Name of the payer whose lane is to go on.
pub(crate) const HEALTHY: &str = "healthy";

/// What happens to the processes in the course of a day.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ends {
    /// Where the house halts and is ended, one after the other.
    pub(crate) house: Vec<String>,
    /// After so many writes the payer is ended.
    pub(crate) payer: Vec<usize>,
}

/// A house, the payer that is tried, and the other one.
pub(crate) struct Apart {
    pub(crate) profile: Profile,
    pub(crate) provider: House,
    pub(crate) ehr: SimEhr,
    ends: Ends,
    payer: Option<Process>,
    place: PathBuf,
    address: SocketAddr,
    healthy: ForeignPayer,
    client: Arc<FhirClient>,
    ended: [u32; 2],
    /// Pushes that a person let go.
    released: usize,
    /// A record that nobody here knows keeps others from being taken back.
    stray: bool,
    // Last: it outlives what works in it.
    _folder: TempDir,
}

impl Apart {
    pub(crate) fn begin(profile: Profile, ends: Ends) -> Apart {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mut ehr = SimEhr::new(&at("ehr"));
        let provider = House::provider(&at("hospital"), &ehr.base_url());
        ehr.start(&all(), &[provider.public()]);
        provider.write("tls/ehr-authority.pem", &ehr.authority());
        provider.write("restrictions.toml", "");
        let healthy = RUNTIME.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            ForeignPayer::start(plan(Abilities::default()), listener).unwrap()
        });
        let client = Arc::new(house::operator_client(&provider.config(), PATIENCE).unwrap());
        let (place, address, payer) = (at("plan"), free_address(), None);
        let ended = [0, 0];
        let mut day = Apart {
            profile,
            provider,
            ehr,
            ends,
            payer,
            place,
            address,
            healthy,
            client,
            ended,
            released: 0,
            stray: false,
            _folder: folder,
        };
        day.open_payer();
        day.meet();
        day.serve();
        day
    }

    /// The payer's process, with what it kept.
    fn open_payer(&mut self) {
        let public = self.provider.folder.join("public.json");
        let listen = self.address.to_string();
        let id = format!("{PLAN_SYSTEM}|{}", PLANS[0]);
        let words = ["sim", "payer", text(&self.place), "--profile", self.profile.name()];
        let more = ["--listen", &listen, "--payer-id", &id, "--keep", "--tethered"];
        let words = [&words[..], &more, &["--client", text(&public)]].concat();
        self.payer = Some(Process::until_ready(&words, &[]));
    }

    /// The house gets to know both payers. No Bundle for the first holds more than three records.
    fn meet(&self) {
        let healthy = json!({
            "name": HEALTHY, "role": "payer", "title": HEALTHY,
            "base_url": self.healthy.base_url(), "foreign": { "sign_in": "none" },
            "payer_identifiers": [{ "system": PLAN_SYSTEM, "value": PLANS[1] }],
        });
        self.provider.write("healthy.json", &healthy.to_string());
        let files = [self.place.join("public.json"), self.provider.folder.join("healthy.json")];
        for file in files {
            let said = self.provider.run(&["partner", "add", text(&file)]);
            assert_eq!(said.code, 0, "{}", said.stderr);
        }
        let agreement = format!("agreements/{}.toml", self.profile.name());
        let terms = self.provider.read(&agreement);
        self.provider.write(&agreement, &format!("{terms}\n[door]\nentries_max = 3\n"));
    }

    fn serve(&mut self) {
        let next = (!self.ends.house.is_empty()).then(|| self.ends.house.remove(0));
        match next {
            Some(point) => self.provider.serve_with(&[("HANDOVER_HALT_AFTER", &point)]),
            None => self.provider.serve(),
        }
    }

    // ---- what is asked ------------------------------------------------------------------------

    /// Somebody pushes an encounter, and asks again if nothing came of it.
    pub(crate) fn push(&mut self, encounter: &str) {
        let (subject, who) = (encounter.to_owned(), who("the encounter has ended"));
        self.trigger(&Command::Push { subject, purpose: None, who, wait: 0, asynchronous: false });
    }

    /// Somebody takes an encounter's push to the tried payer back.
    pub(crate) fn withdraw(&mut self, encounter: &str) {
        let subject = format!("Encounter/{encounter}");
        let mut pushes = all_pushes(&self.provider);
        pushes.retain(|push| push.dossier.subject == subject && push.sent);
        pushes.retain(|push| push.dossier.payer.as_str() == self.profile.name());
        let id = pushes.last().unwrap().walk.to_string();
        self.trigger(&Command::Withdraw { id, who: who("a wrong patient"), wait: 0 });
    }

    fn ask(&mut self, command: &Command) -> Result<Reply, Issue> {
        let (client, command) = (Arc::clone(&self.client), command.clone());
        let answer = RUNTIME.spawn(async move { caller::ask(&client, &command).await });
        self.until("an answer", |_| answer.is_finished());
        RUNTIME.block_on(answer).unwrap()
    }

    fn trigger(&mut self, command: &Command) {
        let before = works(&self.provider, WorkKind::Trigger).len();
        loop {
            let ended = self.ended;
            let answer = self.ask(command);
            if works(&self.provider, WorkKind::Trigger).len() > before {
                return;
            }
            assert!(self.ended != ended, "nothing was recorded: {answer:?}");
        }
    }

    // ---- what happens meanwhile ---------------------------------------------------------------

    fn until(&mut self, what: &str, mut is_so: impl FnMut(&Apart) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so(self) {
            if Instant::now() > end {
                panic!("waited for {what} in vain: {:#?}", pushes(&self.provider));
            }
            self.end_some();
            std::thread::park_timeout(LOOK);
        }
    }

    /// Ends what has halted or is to be ended now, and starts it again.
    fn end_some(&mut self) {
        if self.provider.process().stderr().contains("halted after ") {
            self.provider.kill();
            self.ended[0] += 1;
            self.serve();
        }
        let writes = self.writes();
        if let Some(at) = self.ends.payer.iter().position(|limit| *limit <= writes) {
            self.ends.payer.remove(at);
            self.payer.take().unwrap().kill();
            self.ended[1] += 1;
            self.open_payer();
        }
    }

    /// How many writes the payer has kept.
    pub(crate) fn writes(&self) -> usize {
        let kept = fs::read(self.place.join("kept.ndjson")).unwrap_or_default();
        kept.iter().filter(|byte| **byte == b'\n').count()
    }

    /// Until no clock has work, and whoever asked has been told. A payer that gives the ids and can be
    /// asked for no Provenance leaves one unknown whose answer was lost: a person lets that go. Where it is
    /// there, and the payer deletes nothing that is referred to, what it speaks of cannot be taken back by
    /// us: that waits for a person there.
    pub(crate) fn rest(&mut self) {
        loop {
            self.until("rest", |day| {
                let kinds = [WorkKind::Trigger, WorkKind::Push];
                let mut rows = kinds.into_iter().flat_map(|kind| works(&day.provider, kind));
                rows.all(|row| row.work.due.is_none())
            });
            let held = all_pushes(&self.provider).into_iter();
            let Some(push) = held.into_iter().find(|push| push.state == State::Held) else {
                return;
            };
            let codes: Vec<Code> = push.issues.iter().map(|issue| issue.code).collect();
            let refused = codes.iter().all(|code| *code == Code::PayerRefused);
            if self.released > 0 && push.withdraws.is_some() && refused {
                self.stray = true;
                return;
            }
            let may_be = self.profile == Profile::PostOnly && codes == [Code::OutcomeUnknown];
            assert!(may_be, "{} is held: {:?}", push.dossier.subject, push.issues);
            let (id, who) = (push.walk.to_string(), who("the payer was asked"));
            // Whether it was heard, the next look tells.
            self.ask(&Command::Release { id, who, member: None }).ok();
            self.released += 1;
        }
    }

    /// Stops all, has the house prove its ledger, and says what has become of the day.
    pub(crate) fn end(mut self) -> Left {
        self.provider.stop();
        let (code, reply) = self.provider.json(&["ledger", "verify"]);
        assert_eq!((code, &reply["broken"]), (0, &Value::Null), "{reply}");
        let writes = self.writes();
        let said = self.payer.take().unwrap().stop();
        assert_eq!(said.code, 0, "{}", said.stderr);
        let tried = self.kept();
        let told: Value = read(&self.place.join("arrived.json"));
        let versions = tried.records.iter().map(|(name, all)| (name.clone(), json!(all.len())));
        let versions: serde_json::Map<_, _> = versions.collect();
        assert_eq!(told["versions"], Value::Object(versions), "what it kept is what it held");
        let held = all_pushes(&self.provider);
        let held = held.iter().filter(|push| !matches!(push.state, State::Settled { .. }));
        let held =
            held.map(|push| format!("{} {:?} {:?}", push.dossier.subject, push.state, push.issues));
        Left {
            halts: self.ended,
            released: self.released,
            stray: self.stray,
            writes,
            held: held.collect(),
            pushes: pushes(&self.provider),
            tried,
            healthy: self.healthy.arrived(),
        }
    }

    /// What the payer's file says has arrived.
    fn kept(&self) -> Arrived {
        RUNTIME.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let file = self.place.join("kept.ndjson");
            let again = plan(self.profile.abilities());
            ForeignPayer::start_kept(again, listener, &file).unwrap().arrived()
        })
    }
}

/// What a day has left.
#[derive(Debug)]
pub(crate) struct Left {
    /// How often the house and the payer were ended.
    pub(crate) halts: [u32; 2],
    /// Pushes that a person let go.
    pub(crate) released: usize,
    /// What was to be taken back stands, since the payer has a record that nobody here knows.
    pub(crate) stray: bool,
    /// Writes that the payer kept.
    pub(crate) writes: usize,
    /// Pushes that did not settle.
    pub(crate) held: Vec<String>,
    /// Pushes and triggers, by what they are about.
    pub(crate) pushes: Vec<String>,
    tried: Arrived,
    healthy: Arrived,
}

impl Left {
    /// Fails unless everything is there as on an undisturbed day, and once.
    pub(crate) fn assert_same(&self, undisturbed: &Left, case: &str) {
        let whose = ["the tried payer", "the other payer"];
        let found = [&self.tried, &self.healthy];
        let expected = [&undisturbed.tried, &undisturbed.healthy];
        // With a stray, what was to be taken back stands at the tried payer; the other one knows nothing of it.
        let (held, skipped) = if self.stray { (1, 1) } else { (0, 0) };
        assert_eq!(self.held.len(), held, "{case}: {:?} {:#?}", self.held, self.pushes);
        assert!(self.stray || self.pushes == undisturbed.pushes, "{case}: {:#?}", self.pushes);
        for ((whose, found), expected) in whose.into_iter().zip(found).zip(expected).skip(skipped) {
            let (mut there, mut expected) = (sources(found), sources(expected));
            if self.released > 0 {
                // What nobody could ask for may have come twice.
                let count = |of: &mut Sources| of.remove("Provenance").map_or(0, |all| all.len());
                let (found, wanted) = (count(&mut there), count(&mut expected));
                assert!((wanted..=wanted + self.released).contains(&found), "{case}: {found}");
            }
            for name in there.keys().chain(expected.keys()) {
                assert_eq!(there.get(name), expected.get(name), "{case}: {name} at {whose}");
            }
            let mut twins = found.twins.clone();
            twins.retain(|twins| self.released == 0 || !twins[0].starts_with("Provenance/"));
            assert!(twins.is_empty(), "{case}: at {whose} twice: {twins:?}");
            assert!(found.idle.is_empty(), "{case}: at {whose} idle: {:?}", found.idle);
            assert!(found.dangling.is_empty(), "{case}: at {whose} to nothing: {found:?}");
        }
    }

    pub(crate) fn records(&self) -> usize {
        self.tried.current().len()
    }
}

/// Contents by the place they came from.
type Sources = BTreeMap<String, Vec<String>>;

/// What is there by the place it came from: its words, without what the payer says of its own.
/// References go by the place of what they lead to. The pushes' own Provenances are counted.
fn sources(arrived: &Arrived) -> Sources {
    let current = arrived.current();
    let place = |content: &Value| content["meta"]["source"].as_str().map(str::to_owned);
    let places: BTreeMap<&str, String> =
        current.iter().filter_map(|(name, content)| Some((*name, place(content)?))).collect();
    let mut found = Sources::new();
    for content in current.values() {
        if content["resourceType"] == "Provenance" {
            found.entry("Provenance".to_owned()).or_default().push(String::new());
            continue;
        }
        let mut content = (*content).clone();
        let name = place(&content).unwrap_or_default();
        content["id"] = Value::Null;
        for own in ["versionId", "lastUpdated"] {
            content["meta"][own] = Value::Null;
        }
        by_place(&mut content, &places);
        found.entry(name).or_default().push(content.to_string());
    }
    found
}

fn by_place(value: &mut Value, places: &BTreeMap<&str, String>) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(|one| by_place(one, places)),
        Value::Object(members) => {
            if let Some(Value::String(text)) = members.get_mut("reference")
                && let Some(place) = places.get(text.as_str())
            {
                text.clone_from(place);
            }
            members.values_mut().for_each(|one| by_place(one, places));
        }
        _ => {}
    }
}

fn all() -> Chart {
    let resource = |bytes: bytes::Bytes| {
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        let word = |name: &str| value[name].as_str().unwrap().to_owned();
        ChartResource { kind: word("resourceType"), id: word("id"), bytes }
    };
    Chart::new(chart().into_iter().map(resource).collect()).unwrap()
}

fn plan(abilities: Abilities) -> PayerPlan<'static> {
    let (schedule, clock) = (Schedule::default(), Arc::new(SystemClock));
    PayerPlan { abilities, schedule, sign_in: None, tls: None, clock }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}
