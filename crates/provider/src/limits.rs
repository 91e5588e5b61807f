//! Every limit of this room, with its reason.

use std::time::Duration;

/// How long a claimed walk is ours, unless it is renewed: a dead worker's work waits no longer.
pub const LEASE: Duration = Duration::from_secs(60);

/// How often the lease of a walk that goes on is renewed.
pub const RENEWAL: Duration = Duration::from_secs(20);

/// How long one taking-up of a walk may last, renewals and all. A chart that is read for a quarter of
/// an hour is an EHR that does not answer.
pub const WALK_AGE_MAX: Duration = Duration::from_secs(900);

/// The same for a turn of a bulk submission, in which all that a payer says of a million resources is read:
/// more than one file may take (`wire::limits::TAKEN_MAX`).
pub const SENDING_AGE_MAX: Duration = Duration::from_secs(2 * 3_600);

/// From so many walks with one payer on, a process takes up no more of them; nor of triggers, which
/// are with nobody. Enough to keep all places for charts and all of the payer's door in use. There is
/// no bound for all payers together, or slow ones could take the places of the others.
pub const PARTNER_WALKS_MAX: usize = 32;

/// Walks claimed at once: a payer has at most `PARTNER_WALKS_MAX` and these, less one.
pub const CLAIM_MAX: u32 = 16;

/// How often at least a process looks for work past the walks of payers that have no seat left.
pub const FULL_LOOK: Duration = Duration::from_secs(1);

/// After a look past such walks there is none for so many times as long as it took: with a hundred
/// thousand of them it takes a tenth of a second of the database.
pub const LOOK_SHARE: u32 = 4;

/// How long the clock goes by what the house said of its time.
pub const CLOCK_AGE_MAX: Duration = Duration::from_secs(30);

/// Charts open at once: each may take tens of megabytes.
pub const CHARTS_OPEN_MAX: usize = 8;

/// Pushes and polls at one payer's door at once: its pace is its own. Only these hold a payload in
/// memory.
pub const PARTNER_REQUESTS_MAX: usize = 8;

/// A walk waits at the door for its turn at the agreed pace for so long; longer is put down as a
/// delay, so that the places before the door are free for walks that need not wait.
pub const PACE_WAIT_MAX: Duration = Duration::from_secs(10);

/// When a payer's door is left alone: no answer of any kind so many times in a row, from all
/// processes together. A restart takes seconds, an outage minutes.
pub const BREAKER: store::Breaker = store::Breaker {
    failures: 10,
    rest: Duration::from_secs(10),
    rest_max: Duration::from_secs(300),
};

/// What is put off waits at least so long: whatever clocks and doors say, it never goes on at once.
pub const PUT_OFF_MIN: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);

/// Walks that waited for a door's rest come back spread over so long.
pub const REST_SPREAD: Duration = Duration::from_secs(10);

/// Requests to the EHR at the same time for one walk. EHRs throttle; a handful keeps them calm.
pub const SOURCE_REQUESTS_MAX: usize = 4;

/// Resources of one chart: an inpatient stay of months has a few thousand.
pub const CHART_RESOURCES_MAX: usize = 20_000;

/// Bytes of all pages of one search: twenty times the largest type of a real chart, and documents that
/// an EHR writes into their records besides. Several searches of a walk run at once.
pub const SEARCH_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of resources that are read for one chart. A push holds some of them twice, a payer's door takes
/// 50 MB at most, and what is more is no chart that a person waits for.
pub const CHART_BYTES_MAX: usize = 96 * 1024 * 1024;

/// Pages of one search followed before the EHR is thought to go round in circles.
pub const SEARCH_PAGES_MAX: usize = 2_000;

/// Charts remembered, so that one trigger's walks to several payers read the EHR once.
pub const CHARTS_MAX: usize = 32;

/// Audiences for whom a chart remembers what it found out: payers, kinds and purposes of a patient's
/// pushes of one minute.
pub const CHART_AUDIENCES_MAX: usize = 8;

/// How long a chart is remembered: the walks of one trigger are claimed within seconds.
pub const CHART_AGE_MAX: Duration = Duration::from_secs(60);

/// How long a door that was found open is taken to be open still.
pub const DOOR_AGE_MAX: Duration = Duration::from_secs(600);

/// How long the worker waits when nothing is due; new work wakes it at once.
pub const IDLE_MAX: Duration = Duration::from_secs(5);

/// Rows a list shows when no number is asked for.
pub const LIST_ROWS: u32 = 50;

/// Rows a list shows at most.
pub const LIST_ROWS_MAX: u32 = 10_000;

/// Pushes of one patient to one payer that a withdrawal looks through; with more it waits for a person.
pub const LANE_ROWS_MAX: u32 = 100_000;

/// Seconds a caller may wait for a push to end.
pub const WAIT_SECONDS_MAX: u32 = 600;

/// How long *scope* is tried when the EHR does not answer, before a person is asked.
pub const TRIGGER_PATIENCE: jiff::SignedDuration = jiff::SignedDuration::from_hours(72);

/// How often the roster of those who are watched is looked at: a line that was added is taken up
/// within a minute.
pub const ROSTER_LOOK: Duration = Duration::from_secs(30);

/// When a roster that has not changed is taken up again, for record numbers that were nobody's and for
/// watches that another process ended.
pub const ROSTER_AGAIN: Duration = Duration::from_secs(3600);

/// For how many days somebody whose coverage has ended is still watched: visits of its last days are
/// finished, and their results come, weeks later.
pub const COVERAGE_GRACE_DAYS: i64 = 90;

/// How often an EHR that can be asked so is asked for what changed in its whole population.
pub const CENSUS_EVERY: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

/// When an EHR that could not be asked so is asked again: another version of it may be able to.
pub const CENSUS_AGAIN: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// From so many watched patients on, a roster may not end more than half of the watches at once: one that
/// was cut off by the system that writes it looks the same. Of fewer, half may go home in a day.
pub const ROSTER_GUARDED: u64 = 10;

/// Watches that one unit begins: a unit stands or falls whole.
pub const ROSTER_UNIT: usize = 100;

/// Lines that a status shows of those who wait: what is wrong is the same for most of them.
pub const WATCH_LINES_MAX: u32 = 20;

/// Revisions of one dossier that are looked at.
pub const REVISIONS_MAX: u32 = 10_000;

/// Bytes of resources that all remembered charts hold together: a house has 150 MB for everything,
/// and what is found out about a chart takes as much again. What walks have in hand is not counted
/// again.
pub const CHARTS_BYTES_MAX: usize = 20 * 1024 * 1024;

/// Bytes of one document's content, as it is sent: a scanned letter of twenty pages. A push holds all
/// its documents in memory at once.
pub const BINARY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How long a walk waits in place when the EHR asks for it (`Retry-After`); longer is put down as a
/// delay until then, so that the place is free.
pub const SOURCE_WAIT_MAX: Duration = Duration::from_secs(10);

/// How long an EHR is left alone at most, whatever it asks for; then it is asked once again. All of the
/// house waits for it meanwhile, so one wrong word must cost minutes and not days; an EHR that means it
/// says so again, which is four requests an hour.
pub const SOURCE_REST_MAX: Duration = Duration::from_secs(900);

/// The pause before a request that an EHR turned away, without saying until when, goes once more.
pub const SOURCE_STUMBLE: Duration = Duration::from_millis(100);

/// How often one request goes to an EHR that asks for a pause each time, before the walk is put off.
pub const SOURCE_ATTEMPTS_MAX: usize = 6;

/// How long what an EHR says that it offers is taken to hold.
pub const OFFER_AGE_MAX: Duration = Duration::from_secs(3600);

/// How often an encounter's record that is not ready is looked at again: charts are completed within
/// hours and days, and each look reads the chart.
pub const READY_LOOK: jiff::SignedDuration = jiff::SignedDuration::from_mins(30);
/// How long a push may have a record to itself that other patients' pushes bring as well: longer than
/// a request takes, so that nobody comes between; a process that dies leaves no more than this.
pub const SHARED_CLAIM: std::time::Duration = Duration::from_secs(90);

/// How long a push waits for another one that brings the same record.
pub const SHARED_WAIT: jiff::SignedDuration = jiff::SignedDuration::from_secs(2);

/// Pages of a search for what was sent: more than one is odd already.
pub const RECONCILE_PAGES_MAX: usize = 8;

/// Claims of shared records that a process remembers as its own: some hundred bytes each.
pub const CLAIMS_KEPT_MAX: usize = 10_000;

/// How often at least it is looked whether a table of restrictions that was too old is fresh again.
pub const FEED_LOOK: Duration = Duration::from_secs(60);

/// Payors of one list that are looked up in the chart: each costs some requests to the EHR. Those
/// beyond are counted, and looked up when the first ones are mapped.
pub const PAYORS_TOLD_MAX: usize = 100;

/// How long a push waits before it looks again whether another one's unknown outcome has been cleared
/// up: in most cases a person has to.
pub const UNSETTLED_WAIT: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

/// How long a payer's statement that cannot be read is asked for again before a person is: a page of a
/// proxy is gone in minutes, and a few attempts fit in.
pub const STATEMENT_PATIENCE: jiff::SignedDuration = jiff::SignedDuration::from_mins(15);

/// When a door that has taken a request to do it later (202) is asked what became of it, where it does not
/// say when: most have done it by then.
pub const ACCEPTED_WAIT: Duration = Duration::from_secs(60);

/// And at the latest, whatever it says: nobody should wait for a word for longer than it takes to call.
pub const ACCEPTED_WAIT_MAX: Duration = Duration::from_secs(3600);

// Bulk submissions.

/// Triggers whose pushes are asked for in one command.
pub const TRIGGERS_ASKED_MAX: usize = 100;

/// Files that one payer fetches at once: each holds one payload in memory. Clients fetch five or more
/// without being told to.
pub const FILES_AT_ONCE: usize = 8;

/// Submissions of which is remembered how many pushes have joined; beyond it all are forgotten, and one
/// that is full may take some more until it is looked at.
pub const JOINED_KEPT: usize = 1_000;

/// Pushes that wait in a submission and are looked through at once: some 2 KB each.
pub const GATHERED_MAX: u32 = 10_000;

/// Manifests of one submission, those that others took the place of among them: a row of work names them
/// all, and each is some 200 bytes.
pub const MANIFESTS_MAX: usize = 100;

/// How long a submission gathers at most, while pushes keep coming: whoever came first has waited long
/// enough.
pub const GATHER_AGE_MAX: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);

/// Pushes of a submission that are written in one unit, each with a line or two: others commit between.
pub const PUSHES_PER_UNIT: usize = 50;

/// Pages of a status manifest that are followed.
pub const STATUS_PAGES_MAX: usize = 100;

/// Files of outcomes that are read for one submission.
pub const STATUS_FILES_MAX: usize = 1_000;

/// Bytes of one line of a file of outcomes: an OperationOutcome has a few thousand.
pub const OUTCOME_LINE_MAX: usize = 1024 * 1024;

/// Bytes of one file of outcomes, which is read as it comes: a thousand for each of ten million resources.
pub const OUTCOMES_BYTES_MAX: u64 = 10_000_000_000;

/// How long the files of a submission are served after it has ended: a payer that was cut off in its last
/// file comes back within minutes.
pub const FILES_KEPT: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

// Directories.

/// How long an endpoint that a directory named is used before it is asked again: entries change rarely,
/// and what changes at the door itself is noticed there.
pub const DIRECTORY_EXPIRES: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// How long it counts that directories know no endpoint: a plan that is added today is found today.
pub const DIRECTORY_MISSING: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

/// How long beyond its time an endpoint is used while its directory is away: a week's outage must not
/// stop pushes to a door that still answers.
pub const DIRECTORY_STALE: jiff::SignedDuration = jiff::SignedDuration::from_hours(7 * 24);

/// While a directory is away, it is asked again after so long at the earliest; a door that vanished
/// makes directories be asked no more often than that.
pub const DIRECTORY_RETRY: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);

/// Requests of one look into a directory: a payer has some ten endpoints and a few affiliations.
pub const DIRECTORY_REQUESTS_MAX: usize = 60;

/// Pages of one search.
pub const DIRECTORY_PAGES_MAX: usize = 20;

/// Bytes of all answers of one look.
pub const DIRECTORY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Resources kept of one look.
pub const DIRECTORY_RESOURCES_MAX: usize = 2_000;

/// Bytes of all files of a directory's copy: payers and networks of the country have some 10 MB; all
/// its practitioners do not belong here.
pub const DIRECTORY_DUMP_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Bytes of one line of a copy: an Endpoint with all its certificates has some 50 KB.
pub const DIRECTORY_LINE_BYTES_MAX: usize = 1024 * 1024;

// Probing.

/// How long one step of a probe may take: longer than any answer a push would like to wait for.
pub const PROBE_PATIENCE: Duration = Duration::from_secs(10);

/// What takes longer is said to be slow: a push waits as long for each of its requests.
pub const PROBE_SLOW: Duration = Duration::from_secs(5);

/// Of a partner's own words a report quotes so many letters.
pub const PROBE_WORDS_MAX: usize = 160;

/// A payer's certificate with so few days left is worth a word.
pub const CERTIFICATE_DAYS_SOON: i64 = 30;

/// How often it is looked which partners were resumed, for what a command left behind.
pub const RESUMED_LOOK: Duration = Duration::from_secs(60);

/// How long after its resumption what waits for a partner is looked for: far longer than a walk takes.
pub const RESUMED_SINCE: Duration = Duration::from_secs(900);

// Exports that payers ask for.

/// Exports that one payer may have at once: each keeps a plan of some 300 bytes for each push.
pub const PULLS_MAX: usize = 8;

/// Exports that one payer may begin within `PULL_READY_MAX`, deleted ones included: each looks for the
/// coverage of everybody on the roster, beside all that goes to other payers.
pub const PULLS_BEGUN_MAX: usize = 16;

/// Submissions of a payer that are looked through for its exports: rows of a day.
pub const PULLS_LOOKED: u32 = 1_000;

/// When a payer that has as many exports as it may comes again, in seconds.
pub const PULL_BUSY_SECONDS: u32 = 120;

/// How long the histories of an export are waited for: charts of thousands take minutes.
pub const PULL_READY_MAX: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

/// How long the files of an export can be fetched, as at a receiving house.
pub const PULL_KEPT: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// How often it is looked whether the histories are ready: each look is a line. At first;
pub const PULL_LOOK_MIN: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);

/// and when they take long.
pub const PULL_LOOK_MAX: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

/// When a payer that polls comes again, in seconds.
pub const PULL_POLL_SECONDS: u32 = 2;

/// Polls that come sooner than this behind the last one are turned away: half of what was asked for,
/// since clocks differ.
pub const PULL_POLL: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);

/// How often it is tried to write down that a file was given, while other files of the export are.
pub const GIVEN_TRIES: usize = 8;
