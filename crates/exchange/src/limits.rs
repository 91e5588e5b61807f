//! Every limit of this room, with its reason.

use std::time::Duration;

/// The first wait after a failure that passes by itself: long enough for a restart's last step,
/// short enough that nobody notices.
pub const RETRY_FIRST: Duration = Duration::from_secs(1);

/// The longest wait between two attempts, also when a payer asks for more: an hour's outage must
/// not become a day's.
pub const RETRY_MAX: Duration = Duration::from_secs(3600);

/// Attempts until a person looks. With waits that double up to `RETRY_MAX`, a deadline of 72 hours
/// comes first; this bounds a payer that asks for a second's patience for ever.
pub const ATTEMPTS_MAX: u32 = 500;

/// The wait before a payer is asked again for its word when it names none: a person is at work
/// there, or a queue.
pub const POLL_WAIT: Duration = Duration::from_secs(5);

/// Characters of a partner's code that are repeated in an issue: codes, never sentences.
pub const PARTNER_CODE_CHARS_MAX: usize = 40;

/// Characters of a partner's place (`Bundle.entry[3].resource…`) that are repeated in an issue.
pub const PARTNER_PLACE_CHARS_MAX: usize = 200;

/// Issues made of one answer. A person mends the first ones and sends again.
pub const ISSUES_MAX: usize = 50;

/// Issues told of one transaction that cannot be acted on: as many as a large Bundle has entries,
/// so that each faulty one is named at once. They stand in one line of the ledger, some 100 KB. Of a
/// batch, every faulty entry is told; beyond this number by one issue each.
pub const FAULTS_MAX: usize = 500;

/// Issues told of one entry: whoever reads them looks at the entry.
pub const FAULTS_PER_ENTRY_MAX: usize = 10;

/// Parameters of one condition. Two name a record in practice: an identifier, and a patient.
pub const CONDITION_PARAMETERS_MAX: usize = 16;

/// Entries of one transaction or batch. An encounter's push measured 70 at most, a whole chart of
/// a lifetime 3,419; more goes by bulk submission, which does not hold one database transaction
/// for all of it.
pub const ENTRIES_MAX: usize = 5_000;

/// References of all resources of a Bundle: forty for each of 5,000 entries, and over ten times
/// those of the largest chart measured (14,728). Where one leads takes some 150 bytes, so that a
/// body of nothing else would be held in memory several times over.
pub const REFERENCES_MAX: usize = 200_000;

/// Characters of the system, and of the value, of a `Bundle.identifier`: they are kept, looked up and
/// shown in lists. A URI and a UUID have under 100 together.
pub const KEY_CHARS_MAX: usize = 256;

/// Members of one member file: ten times a large plan of one state; the index takes about 300
/// bytes for each.
pub const MEMBERS_MAX: usize = 5_000_000;

/// Bytes of one line of a member file: five short fields.
pub const MEMBER_LINE_BYTES_MAX: usize = 2_000;

/// Bytes of one agreement. The shipped one has under 10 KB; rules that nobody can read are no
/// agreement.
pub const AGREEMENT_BYTES_MAX: usize = 256 * 1024;

/// Rules of one agreement. Every resource is asked every rule.
pub const AGREEMENT_RULES_MAX: usize = 500;

/// Conditions of one rule: more are two rules.
pub const CONDITIONS_PER_RULE_MAX: usize = 20;

/// Days that a rule's window can reach back: a hundred years, longer than any chart.
pub const WINDOW_DAYS_MAX: u32 = 36_500;

/// Bytes of one element path; the longest useful ones hold two URLs.
pub const PATH_BYTES_MAX: usize = 500;

/// Steps of one element path. The deepest element of R4 lies nine steps below its resource.
pub const PATH_STEPS_MAX: usize = 16;

/// Bytes of one value set file: about the size of an enumerated set of 100,000 codes.
pub const VALUE_SET_BYTES_MAX: usize = 8 * 1024 * 1024;

/// From so many restrictions on, a file that takes the table's place may not open more than half of them
/// unless that is said: of one or two, one goes from day to day.
pub const RESTRICTIONS_GUARDED: u64 = 3;

/// Bytes of the table of restrictions: about 100,000 rows.
pub const RESTRICTIONS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Characters of the reason of a restriction: it stands in lists, on one line with other words.
pub const RESTRICTION_REASON_CHARS_MAX: usize = 80;

/// Bytes of a name that people give: rules, partners, value sets.
pub const NAME_BYTES_MAX: usize = 64;

/// Bytes of the sentence that a withhold rule gives to people.
pub const REASON_BYTES_MAX: usize = 300;

/// Hours a push may take until it must be settled: a month. Later data is a new push.
pub const DEADLINE_HOURS_MAX: u32 = 31 * 24;

/// Days that contents can be told to be kept: a hundred years. Longer is for ever, which is said by
/// leaving the line out.
pub const CONTENT_DAYS_MAX: u32 = 36_500;

/// Requests a minute that an agreement can set as a partner's pace: a hundred a second is no pace
/// any more, but a door without a limit.
pub const REQUESTS_PER_MINUTE_MAX: u32 = 6_000;

/// Characters of a word that a suggestion is looked for; comparing costs their product.
pub const SUGGEST_CHARS_MAX: usize = 64;

/// Longest client id, title (characters) and namespace in a public file: they stand in tokens, in
/// lines for people and in `meta.source` of every record.
pub const PUBLIC_WORDS_MAX: usize = 200;

/// Most identifiers in a public file: a payer has one for each of its lines of business. They are written
/// into the first agreement with it, which has to stay within `AGREEMENT_BYTES_MAX`.
pub const PUBLIC_IDENTIFIERS_MAX: usize = 100;

/// How far membership is followed from order to order, panel to panel: an order, a replaced order, a
/// panel, a panel within it. More is a circle.
pub const ORDER_STEPS_MAX: usize = 8;

/// Days that a history may be told to look back: a lifetime.
pub const LOOK_BACK_DAYS_MAX: u32 = 45_000;

/// Hours that a push may be told to wait until its record is ready: a month, like its deadline.
pub const READY_HOURS_MAX: u32 = 31 * 24;

/// Bytes of a roster: a hundred thousand lines of a long record number each.
pub const ROSTER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Patients of a roster: each is a row of work that is looked at every so often; a health system's
/// members of its largest plans.
pub const ROSTER_LINES_MAX: usize = 100_000;

/// Records that one line of a watch notes, and so triggers that one unit writes: what is more comes
/// with the next.
pub const WATCH_SIGHTS_MAX: usize = 200;

/// Entries of one Bundle for a door that is no house of ours, unless the agreement says otherwise:
/// servers begin to refuse at a thousand.
pub const DOOR_ENTRIES_MAX: usize = 500;

/// Bytes of one request for such a door, unless the agreement says otherwise. Many proxies stop at
/// ten megabytes.
pub const DOOR_BYTES_MAX: usize = 8_000_000;

/// Bytes that a Bundle says around a resource at most: its full URL, method and condition, with ids of
/// 64 characters. Counted for every entry, so that a request is never larger than it was thought to be.
pub const AROUND_RESOURCE_BYTES: usize = 400;

/// Bytes of an entry that deletes: a method and a URL.
pub const DELETION_BYTES: usize = 200;

/// Bytes that an agreement can set as the size of one request: what a house itself takes.
pub const DOOR_BYTES_RANGE: std::ops::RangeInclusive<usize> = 10_000..=100_000_000;

/// Single requests that go one after the other before what they brought is written down.
pub const SINGLES_MAX: usize = 50;

/// Records asked for in one search: ids have 64 characters, addresses at most some 8,000.
pub const SOUGHT_IDS_MAX: usize = 25;

/// How often a request that is too large for a door is made half as large: what is refused of the largest
/// payload goes in requests of some twenty entries then.
pub const HALVINGS_MAX: u32 = 8;

/// The shortest wait before a door is asked what became of a request without an answer: it may
/// still be at work on it.
pub const UNSURE_WAIT: Duration = Duration::from_secs(3);

/// Places kept of one usability finding: enough for a day's work of whoever mends it, and some 8 KB.
/// How many there are in all is always told.
pub const FINDING_PLACES_MAX: usize = 100;

/// Places of one usability finding that are shown to people in a line; `--json` has those kept.
pub const FINDING_PLACES_SHOWN_MAX: usize = 3;

/// Bytes of the table of payors: some ten thousand rows.
pub const PAYORS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Rows of the table of payors. An EHR knows a few thousand payors; every coverage is held against
/// every row.
pub const PAYOR_ROWS_MAX: usize = 20_000;

/// Characters of names and reasons in the table of payors: they stand in lists, on one line.
pub const PAYOR_WORDS_CHARS_MAX: usize = 120;

/// Places of a pattern of member ids; ids on cards have up to 20.
pub const MEMBER_PATTERN_CHARS_MAX: usize = 40;

/// How far ahead of the clock a table of restrictions may be dated: two machines' clocks, and a
/// summer time that somebody forgot.
pub const FEED_AHEAD_MAX: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

/// Hours that a table of restrictions may be agreed to be old: a year. Longer is for ever, which is
/// said by leaving the line out.
pub const FEED_AGE_HOURS_MAX: u32 = 366 * 24;

/// Types of a door named in one line for people; the rest is in the door's own statement.
pub const KINDS_NAMED_MAX: usize = 6;

// Bulk submissions of a sending house.

/// Seconds that a submission may wait for more pushes: five minutes, beyond which nobody who
/// pressed a button would wait.
pub const SUBMISSION_GATHER_SECONDS_MAX: u32 = 300;

/// Pushes of one submission: each is some 300 bytes of its plan, and settled one by one.
pub const SUBMISSION_PUSHES_MAX: u32 = 5_000;

/// Bytes that an agreement can set as the size of one file of a submission.
pub const SUBMISSION_BYTES_RANGE: std::ops::RangeInclusive<u64> = 10_000..=2_000_000_000;

/// Characters of system and value of a submitter: they stand in every request.
pub const SUBMITTER_CHARS_MAX: usize = 200;

/// Resources that the outcomes of one submission may name beyond those that it was sent: some payers name
/// what they know under ids of their own as well. Each name is held while pushes are settled.
pub const OUTCOME_RESOURCES_MAX: usize = 100_000;

/// Bytes of a push's key in a payer's outcomes: what is longer is the key of no push of ours.
pub const PUSH_KEY_BYTES_MAX: usize = 1_000;

/// Different words that are kept of what outcomes say of resources: a payer has a few, and each is looked
/// through for each resource.
pub const OUTCOME_WORDS_MAX: usize = 500;

/// Types of files that are named of what a payer gives back: there are some 150 in R4.
pub const BACK_KINDS_MAX: usize = 200;

// Directories and what doors declare.

/// Items read of one list of a directory's entry: real ones have under ten.
pub const DIRECTORY_LIST_MAX: usize = 200;

/// Characters of a word of a directory's entry that is kept and shown: addresses and names are shorter.
pub const DIRECTORY_WORD_CHARS_MAX: usize = 500;

/// Organizations of a directory that are one payer: a plan and its subsidiaries with one number.
pub const DIRECTORY_ORGANIZATIONS_MAX: usize = 20;

/// Affiliations from the payer to who fronts it: an HIE, and a network of HIEs before that. More would
/// be a stranger's word for a stranger.
pub const AFFILIATIONS_DEPTH_MAX: usize = 2;

/// Rejected endpoints that are kept and shown: a person reads the first ones.
pub const DIRECTORY_REJECTED_MAX: usize = 40;

/// Days after which an entry of a directory counts as not looked after: NDH has them attested every
/// year, and one miss may happen.
pub const LISTING_STALE_DAYS: i64 = 730;

/// Bytes of the table of payers.
pub const CROSSWALK_BYTES_MAX: usize = 1 << 20;

/// Rows of the table of payers: there are some 1,200 in the country.
pub const CROSSWALK_ROWS_MAX: usize = 5_000;

/// Changes of a statement that are told: a person reads the first ones, and looks at the statement.
pub const DRIFT_WORDS_MAX: usize = 20;

/// Characters of a submitter, a submission's id or a header's name: the longest in use are UUIDs with a
/// prefix, and they are kept, looked up and shown.
pub const BULK_PARAMETER_CHARS_MAX: usize = 256;

/// Characters of a URL in a bulk request or a manifest, and of a header's value: signed URLs of object
/// storages have some 1,500.
pub const BULK_URL_CHARS_MAX: usize = 4_096;

/// Headers to be sent with requests for files: one or two in practice.
pub const BULK_HEADERS_MAX: usize = 10;

/// Places that say how tokens for files are got.
pub const BULK_METADATA_URLS_MAX: usize = 5;

/// Files that one page of a manifest lists: a page is held in memory, and there can be more pages.
pub const BULK_FILES_MAX: usize = 10_000;

/// How long a bulk submission stays open to which nothing more comes: a week, so that a sender whose work
/// stands still over some holidays goes on with it. Until then it counts as one of those in progress.
pub const BULK_OPEN_KEPT: jiff::SignedDuration = jiff::SignedDuration::from_hours(7 * 24);

/// Characters of a parameter's name that are quoted. Names of the guide are shorter.
pub const EXPORT_NAME_SHOWN: usize = 40;
