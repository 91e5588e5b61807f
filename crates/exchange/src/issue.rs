//! Issue: the one form in which a failure reaches a person or a partner system.
//!
//! Comes in   a code of the catalogue, one sentence on the case at hand, the place.
//! Goes out   the same words everywhere: command line, HTTP (`OperationOutcome`), ledger.
//! Never      a name, number, date of birth or other patient detail; never a socket error or SQL.
//!
//! Why a closed catalogue: a code is a promise. It has a page under `issues/`, a test that
//! provokes it, and an answer to "who acts" and "what next" that support staff can search for.
//! Causes go to the log beside the code; they never reach the partner.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// A failure with its way forward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issue {
    /// Which failure of the catalogue.
    pub code: Code,
    /// One sentence on this case. Never a name, number, date of birth or other patient detail.
    pub detail: String,
    /// FHIRPath of the offending element, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// Byte offset in the body as received, when the place is known that exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

/// Who can clear the issue. Shown first, because it tells readers whether to read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Actor {
    /// The sending house: its integration staff, clerks or clinicians.
    Provider,
    /// The receiving house: the plan's gateway operators or member services.
    Payer,
    /// Whoever sent the request that was refused.
    Sender,
    /// Whoever runs this house.
    Operator,
    /// It clears itself; the gateway retries.
    Nobody,
}

/// One row of the catalogue: everything that is fixed about a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The stable public spelling, also the name of its page: `issues/<slug>.md`.
    pub slug: &'static str,
    /// What it means, in one line, without the case at hand.
    pub title: &'static str,
    /// The HTTP status with which a door answers it.
    pub status: u16,
    /// R4 `issue-type`.
    pub kind: &'static str,
    /// Who acts.
    pub actor: Actor,
    /// The next step, in the imperative.
    pub next: &'static str,
    /// After how many seconds a repeat of the same request can help, if ever.
    pub retry_after: Option<u32>,
}

macro_rules! catalogue {
    ($($code:ident $slug:literal $status:literal $kind:literal $actor:ident $retry:expr;
       $title:literal; $next:literal)*) => {
        /// Every code is a promise: adding one means adding its page and a test that provokes it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Code { $(#[doc = $title] #[serde(rename = $slug)] $code),* }

        impl Code {
            /// The whole catalogue, in its order of print.
            pub const ALL: &'static [Code] = &[$(Code::$code),*];

            /// The whole table in one place, so that a reviewer sees a missing answer at a glance.
            pub const fn row(self) -> Row {
                match self { $(Code::$code => Row {
                    slug: $slug, title: $title, status: $status, kind: $kind,
                    actor: Actor::$actor, next: $next, retry_after: $retry,
                }),* }
            }
        }
    };
}

catalogue! {
    // Reading what arrived.
    BodyMalformed "body-malformed" 400 "structure" Sender None;
        "the body is not well-formed FHIR JSON";
        "mend the body at the place named; sending the same bytes again cannot help"
    BodyTooLarge "body-too-large" 413 "too-long" Sender None;
        "the body is larger than this door takes";
        "send fewer resources in one push, or agree on bulk submission"
    HeadTooLarge "head-too-large" 431 "too-long" Sender None;
        "the URL or the headers are larger than this door takes";
        "search by POST to _search, or send fewer and shorter headers"
    MediaTypeUnsupported "media-type-unsupported" 415 "not-supported" Sender None;
        "the media type or its fhirVersion is not one this door reads";
        "send application/fhir+json with fhirVersion 4.0"
    NotAcceptable "not-acceptable" 406 "not-supported" Sender None;
        "the answer cannot be given in the form asked for";
        "ask for application/fhir+json with fhirVersion 4.0"
    BundleInvalid "bundle-invalid" 400 "structure" Sender None;
        "the Bundle is not one this door can act on";
        "send a Bundle of type transaction or batch, each entry with its request"
    EntryInvalid "entry-invalid" 400 "invalid" Sender None;
        "an entry of the Bundle cannot be acted on";
        "mend the entry named, and send it again; a transaction stands or falls as a whole"
    TooManyEntries "too-many-entries" 413 "too-long" Sender None;
        "the Bundle holds more entries than this door takes at once";
        "split the push, or agree on bulk submission"
    ReferenceUnresolved "reference-unresolved" 422 "not-found" Sender None;
        "a reference points to nothing in the Bundle or in the records";
        "send the resource it points to in the same Bundle, or cut the reference"
    IdentityMismatch "identity-mismatch" 403 "forbidden" Sender None;
        "a record's id is not the one derived from the sender's registered namespace";
        "derive ids as agreed: SHA-256 over namespace, type and source id, and name them in meta.source"
    RecordOwnedByAnother "record-owned-by-another" 403 "forbidden" Sender None;
        "the record belongs to another sender";
        "send it under an id of your own; ids derived from your registered namespace never collide"
    VersionConflict "version-conflict" 412 "conflict" Sender None;
        "the record's newest version is not the one the request names";
        "read the record again, decide anew, and repeat with the ETag it then has"
    ConditionAmbiguous "condition-ambiguous" 412 "multiple-matches" Sender None;
        "more than one record fits the condition";
        "narrow the condition until one record fits, or name the record by its id"
    KeyConflict "key-conflict" 409 "conflict" Sender None;
        "the same key came before with other content";
        "repeat the first bytes under this key, or send the new content under a new Bundle.identifier"
    KeyBusy "key-busy" 503 "transient" Nobody Some(2);
        "the same key is being worked on";
        "repeat the same bytes a little later; the first answer will be given again"
    // Signing in.
    SignInRequired "sign-in-required" 401 "login" Sender None;
        "the request carries no valid access token";
        "get a token from the token endpoint named in .well-known/smart-configuration"
    CredentialRefused "credential-refused" 401 "security" Sender None;
        "the client assertion was refused";
        "check client id, key, audience, expiry and clock; use each jti once"
    ScopeMissing "scope-missing" 403 "forbidden" Sender None;
        "the token's scopes do not cover this request";
        "ask for a token with the scope named, or have the partner's registration widened"
    RateExceeded "rate-exceeded" 429 "throttled" Sender None;
        "more requests came than the house takes from one client or address";
        "wait as long as Retry-After says, then send the same request again, and fewer a minute"
    // Matching and filing.
    MemberNotNamed "member-not-named" 422 "required" Sender None;
        "the push names no member: one Patient and a member id are needed";
        "send exactly one Patient, and its member id as an identifier of type MB or in Coverage.subscriberId"
    MemberUnknown "member-unknown" 422 "not-found" Provider None;
        "no member of this plan has the member id given";
        "compare the member id with the insurance card, correct the coverage, and push again"
    MemberMismatch "member-mismatch" 422 "conflict" Provider None;
        "the member id is known, but the demographics are another person's";
        "check that the coverage belongs to this patient; correct whichever is wrong, and push again"
    MemberHeld "member-held" 202 "incomplete" Payer None;
        "the push is kept; a person at the plan looks for the member";
        "nothing to send again; poll the Content-Location until the answer is there"
    KindNotAgreed "kind-not-agreed" 403 "forbidden" Provider None;
        "the agreement does not cover this kind of push or resource";
        "widen the agreement with the plan, or leave these resources out"
    OlderThanFiled "older-than-filed" 200 "informational" Nobody None;
        "a later push has already filed this record; the older content was set aside";
        "nothing to do; the later content stands"
    // Files of a submission.
    FileUnreachable "file-unreachable" 503 "transient" Nobody Some(30);
        "the file server does not answer, or breaks off";
        "none needed while it is tried again; once that is over, mend the file server and submit its manifest anew with replacesManifestUrl"
    FileRefused "file-refused" 422 "forbidden" Sender None;
        "the file server refused to give the file";
        "let this house read the file named, then submit its manifest anew with replacesManifestUrl"
    FileNotAgreed "file-not-agreed" 422 "security" Sender None;
        "the file is not where this house agreed to fetch from";
        "serve it from an agreed origin with a trusted certificate, or agree on this one; then submit its manifest anew with replacesManifestUrl"
    FileChanged "file-changed" 409 "conflict" Sender None;
        "the file changed while it was read";
        "leave files as they are until the submission is done, and submit its manifest anew with replacesManifestUrl"
    FileInvalid "file-invalid" 422 "structure" Sender None;
        "the file is not what its manifest and headers promise";
        "mend the file at the place named, and submit its manifest anew with replacesManifestUrl"
    // Reading and searching what is filed.
    ResourceUnknown "resource-unknown" 404 "not-found" Sender None;
        "no such record, or none this caller may see";
        "check type and id, or search for the patient's records"
    ResourceDeleted "resource-deleted" 410 "deleted" Sender None;
        "the record was withdrawn by its sender";
        "nothing to fetch; its history and the ledger say when and why"
    ContentPurged "content-purged" 410 "deleted" Sender None;
        "the content was removed when its time was over";
        "nothing to fetch; its digest and the ledger's lines remain"
    ParameterUnsupported "parameter-unsupported" 400 "not-supported" Sender None;
        "a search parameter is not one this door knows for this type";
        "use the search parameters listed in /metadata"
    ParameterInvalid "parameter-invalid" 400 "value" Sender None;
        "a search parameter's value cannot be read";
        "mend the value named"
    ManifestInvalid "manifest-invalid" 422 "structure" Sender None;
        "a manifest of bulk files cannot be acted on";
        "mend the manifest at the place named, and submit it again under another URL in place of this one"
    InteractionUnsupported "interaction-unsupported" 405 "not-supported" Sender None;
        "this door does not offer that interaction";
        "use the interactions listed in /metadata"
    SubmissionClosed "submission-closed" 409 "conflict" Sender None;
        "the bulk submission takes nothing more";
        "begin another submission, under another submissionId"
    StatusUnknown "status-unknown" 404 "not-found" Sender None;
        "no such submission, or none of this caller's";
        "use the Content-Location exactly as it was given"
    // Trigger and scope.
    EncounterUnknown "encounter-unknown" 404 "not-found" Provider None;
        "the source holds no such encounter";
        "look it up with `handover find`, then push by the id it prints"
    EncounterUnfinished "encounter-unfinished" 422 "business-rule" Provider None;
        "the encounter is not finished";
        "push again when it is finished, or let the agreement allow unfinished ones"
    SubjectUnknown "subject-unknown" 404 "not-found" Provider None;
        "the source holds no such record to push";
        "look it up in the EHR, then push by its FHIR id"
    RecordNotReady "record-not-ready" 422 "incomplete" Provider Some(900);
        "the encounter's record lacks what the agreement waits for";
        "complete the record as named; it goes by itself then, and at the latest when the agreed wait is over"
    CoverageMissing "coverage-missing" 422 "not-found" Provider None;
        "the patient has no coverage active on the encounter's date";
        "add or correct the coverage in the EHR, then release"
    PayerUnmapped "payer-unmapped" 422 "business-rule" Provider None;
        "a coverage names a payer that leads to no agreement";
        "map the payor with `handover payor map`, or add an agreement for this payer and release"
    PurposeNotAgreed "purpose-not-agreed" 422 "business-rule" Provider None;
        "the agreement does not allow this purpose";
        "push for a purpose of the agreement, or widen it with the plan"
    // Route.
    PayerUnreachable "payer-unreachable" 503 "transient" Nobody Some(30);
        "the payer's door does not answer";
        "none needed; the next attempt is scheduled"
    PayerResting "payer-resting" 503 "throttled" Nobody Some(60);
        "nothing goes to the payer's door for a while";
        "none needed; the next attempt is scheduled"
    DirectoryUnreachable "directory-unreachable" 503 "transient" Nobody Some(60);
        "no directory of payers' endpoints answers";
        "none needed; directories are asked again"
    EndpointUnknown "endpoint-unknown" 502 "not-found" Provider None;
        "no directory names an endpoint of the payer that a push can go to";
        "see `handover directory find PAYER`, mend the table of payers or ask the plan to mend its entry, then release"
    EndpointUnconfirmed "endpoint-unconfirmed" 502 "security" Provider None;
        "nobody has vouched for the endpoint that a directory names";
        "compare address and certificates with the plan, then `handover directory approve PAYER`"
    PayerUntrusted "payer-untrusted" 502 "security" Provider None;
        "the payer's certificate is not one this house trusts";
        "compare the certificate authority in the partner's public file with the plan, then release"
    VersionMismatch "version-mismatch" 502 "not-supported" Payer None;
        "the payer's door does not speak FHIR R4";
        "agree with the plan on an R4 endpoint, pin it in the partner's file, then release"
    CapabilityMissing "capability-missing" 502 "not-supported" Payer None;
        "the payer's door does not offer what the agreement needs";
        "have the plan offer the interaction named, or change the agreement's form, then release"
    DoorFaulty "door-faulty" 502 "invalid" Payer None;
        "the payer's door does not keep what its documents or the standards promise";
        "send the plan the report of the probe; it names the place and what is expected there"
    // Collect.
    SourceUnreachable "source-unreachable" 503 "transient" Nobody Some(10);
        "the EHR does not answer";
        "none needed while it is tried again; once it is held, ask the provider's EHR people, then release"
    SourceRefused "source-refused" 502 "forbidden" Provider None;
        "the EHR refused the gateway's request";
        "check the gateway's registration and scopes in the EHR, then release"
    SourceUnreadable "source-unreadable" 502 "invalid" Provider None;
        "the EHR's answer cannot be read or is incomplete";
        "report the place named to the EHR's vendor, then release"
    RosterInvalid "roster-invalid" 500 "invalid" Operator None;
        "a line of the roster names nobody who can be watched";
        "mend the line named; the roster is read again by itself"
    // Shape.
    AllWithheld "all-withheld" 422 "suppressed" Provider None;
        "nothing of this push may travel to this payer";
        "none if the rule is meant; else mend the rule or restriction named, and push again"
    RestrictionsUnreadable "restrictions-unreadable" 500 "exception" Operator None;
        "the table of restrictions cannot be read, so nothing may be sent";
        "mend the file named, then release"
    NotUsable "not-usable" 422 "business-rule" Provider None;
        "something in the push is not usable for its purpose, and the agreement holds it for that";
        "mend it in the chart and push again, or release to send it as it is"
    RestrictionsStale "restrictions-stale" 503 "transient" Operator None;
        "the table of restrictions is older than agreed, so nothing may be sent";
        "bring the table up to date with `handover restriction import`; what waits then goes on"
    // Deliver and settle.
    PayerRefused "payer-refused" 422 "business-rule" Provider None;
        "the payer refused the push";
        "correct what the payer names, then push again; or release it, where it is held"
    SignInRefused "sign-in-refused" 502 "login" Provider None;
        "the payer refused this house's credential";
        "compare client id and public key with what the plan registered, then release"
    PayloadTooLarge "payload-too-large" 413 "too-long" Provider None;
        "the push is larger than the payer's door takes";
        "agree on bulk submission with the plan, or narrow the agreement, then release"
    AsyncNotAgreed "async-not-agreed" 422 "business-rule" Provider None;
        "an asynchronous push was asked for, and no bulk submission is agreed with this payer";
        "add a section [bulk] to the agreement, or push again without --async"
    SubmissionStopped "submission-stopped" 409 "suppressed" Provider None;
        "a person of this house stopped the bulk submission that the push went with";
        "ask who stopped it why; release the push to send it with another submission"
    ExportUnfetched "export-unfetched" 409 "timeout" Payer None;
        "the payer asked for an export and did not fetch all of it";
        "the payer asks for another export, or the history is pushed as ever"
    ServerUnreachable "server-unreachable" 503 "transient" Sender None;
        "the server that an export is fetched from does not answer";
        "compare its URL, then run the same command again: it goes on where it ended"
    ServerUntrusted "server-untrusted" 502 "security" Sender None;
        "the certificate of the server that an export is fetched from is not trusted";
        "ask the server's people for the authority it comes from, and name it with --authority"
    ServerRefused "server-refused" 502 "forbidden" Sender None;
        "the server that an export is fetched from refuses the export, or the sign-in for it";
        "compare client id, key, scopes and what is asked for with what the server's people registered"
    AnswerUnreadable "answer-unreadable" 502 "invalid" Payer None;
        "the payer's answer cannot be understood";
        "ask the plan what became of the push named by its key, then release"
    OutcomeUnknown "outcome-unknown" 504 "incomplete" Provider None;
        "nobody can tell whether the payer filed what was sent";
        "look at the payer whether the push is there, then release what is not, or withdraw"
    DeadlinePassed "deadline-passed" 504 "timeout" Provider None;
        "the push could not be settled before its deadline";
        "call the plan's support with the push id, then release or withdraw"
    // The house itself.
    HouseBusy "house-busy" 503 "throttled" Nobody Some(1);
        "the house has as much work as it can hold";
        "repeat the same request after the time named"
    StoreUnavailable "store-unavailable" 503 "no-store" Operator Some(10);
        "the house cannot write to its store";
        "free disk space or mend the store, then repeat the request; nothing was accepted"
    StoreNewer "store-newer" 500 "not-supported" Operator None;
        "a newer version of this program wrote the house";
        "run that version or a later one, or restore a backup made before the upgrade"
    MigrationNeeded "migration-needed" 503 "incomplete" Operator None;
        "the house was written by an older version and is not brought up to this one yet";
        "stop the house, make a backup, and run `handover db migrate`; cut off, it goes on where it was"
    BackupUnusable "backup-unusable" 500 "exception" Operator None;
        "the backup cannot be restored";
        "choose another backup, or an empty place to restore to; nothing was changed"
    HouseLocked "house-locked" 423 "lock-error" Operator None;
        "another process holds this house";
        "use the running house, or stop it first"
    LedgerBroken "ledger-broken" 500 "exception" Operator None;
        "the ledger does not verify";
        "stop the house, keep the files, and restore from a backup that verifies"
    ConfigInvalid "config-invalid" 500 "invalid" Operator None;
        "the configuration cannot be used";
        "mend the line or the file named"
    BindRefused "bind-refused" 500 "security" Operator None;
        "the house may not listen beyond loopback without TLS and sign-in";
        "configure [tls] and at least one partner credential, or listen on 127.0.0.1"
    KeyUnusable "key-unusable" 500 "security" Operator None;
        "a key or certificate file cannot be used";
        "restore the file named, or make new keys and send partners the new public file"
    CommandInvalid "command-invalid" 400 "invalid" Sender None;
        "the command cannot be carried out as given";
        "see `handover help`, and mend what is named"
    PushUnknown "push-unknown" 404 "not-found" Sender None;
        "no push, trigger or submission has this id";
        "list them with `handover list`"
    NotWaiting "not-waiting" 409 "conflict" Sender None;
        "the push or submission is not waiting for a person";
        "see its state with `handover show`"
    PartnerUnknown "partner-unknown" 404 "not-found" Operator None;
        "no partner has this name";
        "add the partner's public file with `handover partner add`"
    PartnerSuspended "partner-suspended" 403 "suppressed" Operator None;
        "this house has suspended all exchange with the partner";
        "ask who suspended it why; after `handover partner resume` what waits goes on by itself"
    InternalError "internal-error" 500 "exception" Operator None;
        "the gateway met a fault of its own";
        "report the request id; the log beside it names the cause"
}

impl Issue {
    /// An issue without a place.
    pub fn new(code: Code, detail: impl Into<String>) -> Issue {
        Issue { code, detail: detail.into(), expression: None, offset: None }
    }

    /// The same issue, at a place given as FHIRPath (or as a parameter, header or file name).
    pub fn at(mut self, expression: impl Into<String>) -> Issue {
        self.expression = Some(expression.into());
        self
    }

    /// The `OperationOutcome` of one issue, or of several that are reported at once.
    ///
    /// Shape: severity, R4 issue type, `details.coding` with our stable code, the sentence, and
    /// in `diagnostics` who acts and the next step (FHIR R4 §2.36 OperationOutcome).
    pub fn outcome<'a>(issues: impl IntoIterator<Item = &'a Issue>) -> Vec<u8> {
        let rows: Vec<_> = issues.into_iter().map(Issue::to_json).collect();
        let outcome = serde_json::json!({ "resourceType": "OperationOutcome", "issue": rows });
        outcome.to_string().into_bytes()
    }

    /// `OperationOutcome.issue.severity`.
    pub fn severity(&self) -> &'static str {
        match self.code.row().status {
            200..300 => "information",
            500.. => "fatal",
            _ => "error",
        }
    }

    /// One element of `OperationOutcome.issue`.
    pub fn to_json(&self) -> serde_json::Value {
        let (row, severity) = (self.code.row(), self.severity());
        let place = match self.offset {
            Some(offset) => format!(" Place: byte {offset}."),
            None => String::new(),
        };
        let mut issue = serde_json::json!({
            "severity": severity,
            "code": row.kind,
            "details": {
                "coding": [{ "system": CODE_SYSTEM, "code": row.slug, "display": row.title }],
                "text": self.detail,
            },
            "diagnostics": format!("Who acts: {}. Next: {}.{place}", row.actor, row.next),
        });
        if let Some(expression) = &self.expression {
            issue["expression"] = serde_json::json!([expression]);
        }
        issue
    }
}

/// The code system of `details.coding`: stable, ours, and the path of the pages.
pub const CODE_SYSTEM: &str = "urn:handover:issue";

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Actor::Provider => "the provider",
            Actor::Payer => "the payer",
            Actor::Sender => "the sender of the request",
            Actor::Operator => "whoever runs this house",
            Actor::Nobody => "nobody",
        })
    }
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = self.code.row();
        write!(f, "{}: {}", row.slug, self.detail)?;
        if let Some(expression) = &self.expression {
            write!(f, "\n  place: {expression}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, "\n  byte: {offset}")?;
        }
        write!(f, "\n  who acts: {}\n  next: {}", row.actor, row.next)
    }
}

impl std::error::Error for Issue {}

impl Code {
    /// After how long a repeat of the same request can help, if ever.
    pub fn retry_after(self) -> Option<Duration> {
        self.row().retry_after.map(|seconds| Duration::from_secs(seconds.into()))
    }

    /// The code with this public spelling.
    pub fn from_slug(slug: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.row().slug == slug)
    }
}
