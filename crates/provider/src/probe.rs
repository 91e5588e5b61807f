//! Probe: a payer's door, looked at step by step, as the first push would meet it.
//!
//! Comes in   a payer with its public file and agreement, a client signed in there, the time.
//! Goes out   one finding for each step; see `exchange::probe`.
//! Never      sends anything of a chart: what it asks for does not exist, what it sends is empty or
//!            broken on purpose. Never goes on when a step says that nobody answers any more.

mod judge;

use crate::limits::PROBE_SLOW;
use crate::route::beyond_reach;
use crate::setup::Payer;
use bytes::Bytes;
use exchange::ladder::Offer;
use exchange::partner::SignIn;
use exchange::probe::{Found, Probe, Step};
use exchange::{Code, Issue};
use http::header::ACCEPT;
use http::{Method, Uri};
use jiff::Timestamp;
use judge::{Answer, faulty};
use std::time::{Duration, Instant};
use wire::client::Reply;
use wire::{ClientError, FhirClient, SignInError, doorstep};

/// A search that finds nothing, whoever asks.
const NOBODY: &str = "Patient?_count=1&_id=handover-probe-none";

/// A record that is nowhere.
const NOWHERE: &str = "Patient/handover-probe-none";

/// Nothing more can be learnt: why.
struct Stuck(&'static str);

/// Looks at the door of a payer; `patience` is the time for each step.
pub async fn probe(
    payer: &Payer,
    client: &FhirClient,
    now: Timestamp,
    patience: Duration,
) -> Probe {
    let probe = Probe::new(payer.public.name.clone(), client.base_url(), now);
    let mut walk = Walk { payer, client, now, patience, probe, offer: None, validates: false };
    let why = match walk.steps().await {
        Ok(()) => "it was not asked for",
        Err(Stuck(why)) => why,
    };
    walk.probe.close(why);
    walk.probe
}

struct Walk<'a> {
    payer: &'a Payer,
    client: &'a FhirClient,
    now: Timestamp,
    patience: Duration,
    probe: Probe,
    /// What the statement offers, once it was read.
    offer: Option<Offer>,
    /// Whether it offers `$validate`.
    validates: bool,
}

impl Walk<'_> {
    async fn steps(&mut self) -> Result<(), Stuck> {
        self.address().await?;
        self.documents().await?;
        self.sign_in().await?;
        self.version_parameter().await?;
        self.dry_run().await?;
        self.errors().await?;
        self.pace();
        Ok(())
    }

    fn note(&mut self, step: Step, since: Instant, found: Found) {
        let millis = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.probe.note(step, found, millis);
    }

    /// How the partner's file says one signs in.
    fn is_open(&self) -> bool {
        let foreign = self.payer.public.foreign.as_ref();
        foreign.is_some_and(|foreign| foreign.sign_in == SignIn::None)
    }

    /// Name, connection, TLS: without any of them there is no door.
    async fn address(&mut self) -> Result<(), Stuck> {
        const UNREACHED: Stuck = Stuck("the door was not reached");
        let uri: Option<Uri> = self.client.base_url().parse().ok();
        let place = uri.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.host()?)));
        let Some((scheme, host)) = place else {
            let issue = Issue::new(Code::ConfigInvalid, "the partner's base URL is none");
            self.note(Step::Name, Instant::now(), Found::Fail(issue.at("base_url")));
            return Err(UNREACHED);
        };
        let plain = scheme == "http";
        let port = uri.as_ref().and_then(Uri::port_u16).unwrap_or(if plain { 80 } else { 443 });

        let since = Instant::now();
        let addresses = match doorstep::resolve(host, port, self.patience).await {
            Ok(addresses) => addresses,
            Err(_) => {
                let detail = "the name of the host leads to no address: it is not published, or \
                    the partner's file names another one";
                self.note(Step::Name, since, Found::Fail(faulty(detail).at("base_url")));
                return Err(UNREACHED);
            }
        };
        let (addresses, beyond): (Vec<_>, Vec<_>) =
            addresses.into_iter().partition(|it| self.client.permits(it.ip()));
        if addresses.is_empty() {
            self.note(Step::Name, since, Found::Fail(beyond_reach()));
            return Err(UNREACHED);
        }
        let number = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
        let found = match number {
            true => Found::DoesNotApply("the base URL names an address, no host".into()),
            false if beyond.is_empty() => Found::Pass(format!("{} addresses", addresses.len())),
            false => {
                let (may, not) = (addresses.len(), beyond.len());
                Found::Pass(format!("{may} addresses; {not} of a private network are not used"))
            }
        };
        self.note(Step::Name, since, found);

        let since = Instant::now();
        let stream = match doorstep::connect(&addresses, self.patience).await {
            Ok(stream) => stream,
            Err(error) => {
                self.note(Step::Connection, since, Found::Fail(judge::unconnected(&error)));
                return Err(UNREACHED);
            }
        };
        self.note(Step::Connection, since, Found::Pass(format!("port {port} takes connections")));

        let since = Instant::now();
        if plain {
            let words = "plain HTTP, which this house speaks on its own machine only";
            self.note(Step::Tls, since, Found::DoesNotApply(words.into()));
            return Ok(());
        }
        let roots = [self.payer.public.authority.as_bytes()];
        let shaken = doorstep::shake_hands(stream, host, &roots, self.now, self.patience).await;
        let found = judge::tls(shaken);
        let shut = matches!(found, Found::Fail(_));
        self.note(Step::Tls, since, found);
        if shut { Err(UNREACHED) } else { Ok(()) }
    }

    /// What the door says about itself, to anybody.
    async fn documents(&mut self) -> Result<(), Stuck> {
        let foreign = self.payer.public.foreign.as_ref();
        let told = foreign.is_some_and(|foreign| foreign.token_endpoint.is_some());
        if self.is_open() || told {
            let words = match told {
                true => "the partner's file names the token endpoint",
                false => "one signs in nowhere",
            };
            self.note(Step::SmartConfiguration, Instant::now(), Found::DoesNotApply(words.into()));
        } else {
            let judge = judge::smart_configuration;
            self.document(Step::SmartConfiguration, ".well-known/smart-configuration", judge)
                .await?;
        }
        self.document(Step::UdapMetadata, ".well-known/udap", judge::udap_metadata).await?;
        let identifiers = &self.payer.public.payer_identifiers;
        self.document(Step::DavinciConfiguration, ".well-known/davinci-configuration", |answer| {
            judge::davinci_configuration(answer, identifiers)
        })
        .await?;
        self.document(Step::Versions, "$versions", judge::versions).await?;

        let (agreement, mut offered) = (&self.payer.terms.agreement, (None, false));
        let looked = self.document(Step::CapabilityStatement, "metadata", |answer| {
            let (found, offer, validates) = judge::statement(answer, agreement);
            offered = (offer, validates);
            found
        });
        looked.await?;
        (self.offer, self.validates) = offered;
        Ok(())
    }

    async fn document(
        &mut self,
        step: Step,
        path: &str,
        judge: impl FnOnce(&Answer) -> Found,
    ) -> Result<(), Stuck> {
        self.look(step, self.client.get_open(path), judge, unanswered).await
    }

    /// One request, and what its answer says, or that there is none.
    async fn look(
        &mut self,
        step: Step,
        asked: impl Future<Output = Reply>,
        judge: impl FnOnce(&Answer) -> Found,
        without: fn(&NoAnswer) -> Found,
    ) -> Result<(), Stuck> {
        let since = Instant::now();
        let answer = self.answer(asked).await;
        let found = match &answer {
            Ok(answer) => judge(answer),
            Err(error) => without(error),
        };
        self.note(step, since, found);
        answer.map(drop).or_else(stuck)
    }

    /// A token, and what it opens.
    async fn sign_in(&mut self) -> Result<(), Stuck> {
        if self.is_open() {
            let words = || Found::DoesNotApply("one signs in nowhere".into());
            for step in [Step::Token, Step::TokenAccepted, Step::ClosedToStrangers] {
                self.note(step, Instant::now(), words());
            }
            return Ok(());
        }
        let since = Instant::now();
        match self.answer(self.client.get(NOBODY)).await {
            Ok(answer) => {
                self.note(Step::Token, since, Found::Pass("a token was given".into()));
                self.note(Step::TokenAccepted, since, judge::opened(&answer));
            }
            Err(NoAnswer::Client(ClientError::SignIn(error))) => {
                let away = !matches!(error, SignInError::Refused(_));
                self.note(Step::Token, since, Found::Fail(judge::no_token(&error)));
                if away {
                    return Err(Stuck("no token was to be had"));
                }
            }
            Err(error) => {
                self.note(Step::TokenAccepted, since, Found::Fail(judge::unanswered(&error)));
                return stuck(error);
            }
        }
        self.document(Step::ClosedToStrangers, NOBODY, judge::closed).await
    }

    async fn version_parameter(&mut self) -> Result<(), Stuck> {
        let strange = [(ACCEPT.as_str(), "application/fhir+json; fhirVersion=9.9")];
        let asked = self.client.send_bare(Method::GET, "metadata", &strange, Bytes::new());
        self.look(Step::VersionParameter, asked, judge::version_parameter, unanswered).await
    }

    /// Something that leaves no trace, where the door offers such a thing.
    async fn dry_run(&mut self) -> Result<(), Stuck> {
        const RESOURCE: &str = r#"{"resourceType":"Basic","code":{"text":"probe"}}"#;
        const NOTHING: &str = r#"{"resourceType":"Bundle","type":"transaction"}"#;
        let transaction = self.offer.as_ref().is_some_and(|offer| offer.transaction);
        let (path, body) = match (self.validates, transaction) {
            (true, _) => ("Basic/$validate", RESOURCE),
            (false, true) => ("", NOTHING),
            (false, false) => {
                let words = "the door offers neither $validate nor transactions";
                self.note(Step::DryRun, Instant::now(), Found::DoesNotApply(words.into()));
                return Ok(());
            }
        };
        let judge = if self.validates { judge::validated } else { judge::took_nothing };
        self.posted(Step::DryRun, path, FHIR_JSON, body, judge).await
    }

    /// What it says to what it cannot do.
    async fn errors(&mut self) -> Result<(), Stuck> {
        let judge =
            |it: &Answer| judge::refusal(it, &[404, 410, 403], "a record that is not there");
        let asked = self.client.get(NOWHERE);
        self.look(Step::ErrorUnknown, asked, judge, judge::unsigned).await?;

        let Some(path) = self.writable() else {
            for step in [Step::ErrorMalformed, Step::ErrorMediaType] {
                let words = "its statement names nothing that can be written to";
                self.note(step, Instant::now(), Found::CannotTell(words.into()));
            }
            return Ok(());
        };
        self.posted(Step::ErrorMalformed, path, FHIR_JSON, "{\"resourceType\":", |answer| {
            judge::refusal(answer, &[400, 403, 405, 422], "a body that is no JSON")
        })
        .await?;
        self.posted(Step::ErrorMediaType, path, "text/plain", "probe", |answer| {
            judge::refusal(answer, &[415, 400, 403, 405, 406], "a body that is not FHIR")
        })
        .await
    }

    /// Where something may be posted, by what the statement says.
    fn writable(&self) -> Option<&'static str> {
        let offer = self.offer.as_ref()?;
        if offer.transaction || offer.batch {
            return Some("");
        }
        offer.of("Observation").filter(|offer| offer.create).map(|_| "Observation")
    }

    async fn posted(
        &mut self,
        step: Step,
        path: &str,
        content_type: &str,
        body: &'static str,
        judge: impl FnOnce(&Answer) -> Found,
    ) -> Result<(), Stuck> {
        let asked = self.client.post(path, content_type, body.into());
        self.look(step, asked, judge, judge::unsigned).await
    }

    fn pace(&mut self) {
        let slowest = self.probe.findings.iter().max_by_key(|finding| finding.millis);
        let Some((step, millis)) = slowest.map(|it| (it.step, it.millis)) else { return };
        let words = format!("the slowest answer took {millis} ms: {}", step.title());
        let found = match Duration::from_millis(millis) > PROBE_SLOW {
            true => Found::Fail(faulty(words)),
            false => Found::Pass(words),
        };
        self.probe.note(Step::Pace, found, 0);
    }

    async fn answer(&self, asked: impl Future<Output = Reply>) -> Result<Answer, NoAnswer> {
        let answer = tokio::time::timeout(self.patience, asked).await;
        let answer = answer.map_err(|_| NoAnswer::Late)?.map_err(NoAnswer::Client)?;
        let (head, body) = answer.into_parts();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }
}

/// Why there is no answer.
enum NoAnswer {
    /// It took too long.
    Late,
    /// The client's reason.
    Client(ClientError),
}

fn unanswered(error: &NoAnswer) -> Found {
    Found::Fail(judge::unanswered(error))
}

/// Whether it is worth going on: a sign-in that refuses does not stop what needs none.
fn stuck(error: NoAnswer) -> Result<(), Stuck> {
    match error {
        NoAnswer::Client(ClientError::SignIn(SignInError::Refused(_))) => Ok(()),
        NoAnswer::Client(ClientError::ForeignUrl) => Ok(()),
        _ => Err(Stuck("the door did not answer any more")),
    }
}

const FHIR_JSON: &str = "application/fhir+json";
