//! Every limit of the carriage, with its reason.
//!
//! Comes in   nothing.
//! Goes out   named constants.
//! Never      a limit that stands only where it is used.

use std::time::Duration;

/// Largest body of a FHIR request. An encounter push of a long stay measures a few megabytes;
/// what is larger belongs into a bulk submission.
pub const BODY_BYTES_MAX: usize = 50 * 1024 * 1024;

/// Largest body of a command to the house's own API: commands carry ids and reasons, no charts.
pub const COMMAND_BYTES_MAX: usize = 1024 * 1024;

/// Largest form a search or a token request may post. An assertion is below 2 KB.
pub const FORM_BYTES_MAX: usize = 64 * 1024;

/// Most parameters of one search: beyond it, someone probes.
pub const PARAMETERS_MAX: usize = 100;

/// Time for a request body to arrive whole: 50 MB at 4 Mbit/s, with a little air.
pub const BODY_READ_MAX: Duration = Duration::from_secs(120);

/// Bytes of FHIR bodies in memory at once, those being read and those being worked on: ten of the
/// largest, or some thousands of ordinary ones.
pub const BODIES_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Bytes of bodies that are worked on at once; the others wait, as they came. A Bundle in work takes
/// five times its size, so that this is 80 MB; the writer is busy with much less.
pub const BODIES_WORK_MAX: usize = 16 * 1024 * 1024;

/// One caller may fill one part in so many of that room, so that the others find room whatever it
/// sends.
pub const BODIES_SHARE: usize = 4;

/// A body may arrive slowly for so long: a poor line begins slowly.
pub const BODY_PACE_GRACE: Duration = Duration::from_secs(10);

/// Bytes a second, on average, that a body brings after that; a modem does.
pub const BODY_PACE_MIN: u64 = 4 * 1024;

/// How long a request waits for room among them before it is told to come back.
pub const BODY_ROOM_WAIT: Duration = Duration::from_secs(5);

/// Bytes of answers in memory at once, those being made and those that their callers have not taken
/// yet: some five of the largest, or thousands of ordinary ones.
pub const ANSWERS_BYTES_MAX: usize = 256 * 1024 * 1024;

/// One caller may leave one part in so many of that room untaken, so that the others find room: more
/// than the largest record.
pub const ANSWERS_SHARE: usize = 4;

/// Room that is kept while an answer is made, since its length is known only then: a page of large
/// records. Most answers have a hundredth of it, and give the rest back.
pub const ANSWER_ROOM: usize = 4 * 1024 * 1024;

/// The same for an answer that says what was written: a line for each of some hundred records.
pub const WRITTEN_ROOM: usize = 64 * 1024;

/// The same where what was written is to come back: as many bytes of records as a house gives then.
pub const REPRESENTATIONS_ROOM: usize = 16 * 1024 * 1024;

/// Bytes of an answer that are handed over at once; how many were tells whether the peer takes it.
pub const ANSWER_PIECE: usize = 64 * 1024;

/// Time for an answer to be taken whole, by as slow a line as may send a body. One that is not taken
/// at the pace of a body ends before.
pub const ANSWER_TAKE_MAX: Duration = BODY_READ_MAX;

/// Longest request id a caller may choose; it is echoed and logged.
pub const REQUEST_ID_MAX: usize = 64;

/// Longest id in a path: FHIR ids have 64 characters, ids of submissions and files may be longer.
pub const PATH_ID_MAX: usize = 128;

/// Connections at once. Each costs two file handles and some 50 KB. Beyond it the one that has been
/// quiet for longest makes room.
pub const CONNECTIONS_MAX: usize = 1_000;

/// Connections that the kernel holds until they are let in: where there is no room the kernel drops
/// what they say, and they are a second late.
pub const LISTEN_BACKLOG: u32 = 4_096;

/// Connections of one address at once: a quarter of the door. A partner keeps some tens. Beyond it
/// the address's own longest quiet one makes room.
pub const ADDRESS_CONNECTIONS_MAX: usize = CONNECTIONS_MAX / 4;

/// Those of them that have not sent a request yet: far more than a partner opens in one moment, and
/// few enough that their handshakes and silence cost the others nothing. Beyond it the oldest ends.
pub const SILENT_CONNECTIONS_MAX: usize = 128;

/// A request that has been arriving for so long, or an answer that has been leaving, may be ended
/// where its place is needed: a partner's push of 1 MB takes a tenth of it.
pub const SLOW_AFTER: Duration = Duration::from_secs(2);

/// Time for a TLS handshake: two round trips on a poor line.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Time for the head of a request to arrive, counted from the end of the last one.
pub const HEADER_READ_MAX: Duration = Duration::from_secs(30);

/// A connection that carries nothing for so long is closed, so that silence cannot fill the door.
pub const CONNECTION_IDLE_MAX: Duration = Duration::from_secs(60);

/// No connection lives longer, whatever it carries: a peer that reads one byte a minute ends here.
pub const CONNECTION_LIFE_MAX: Duration = Duration::from_secs(3_600);

/// Time for requests in flight to end when the house stops.
pub const DRAIN_MAX: Duration = Duration::from_secs(20);

/// Wait after `accept` itself has failed (no file handles left): not a busy loop, not an end.
pub const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Time for the last words on a connection that is being closed (HTTP/2 GOAWAY and its answer).
pub const LAST_WORDS_MAX: Duration = Duration::from_secs(5);

/// Requests on one HTTP/2 connection at once.
pub const STREAMS_MAX: u32 = 100;

/// Time to open a connection to a partner, TLS included.
pub const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Idle connections kept to one partner: the pace of a lane is far below it.
pub const IDLE_CONNECTIONS_MAX: usize = 8;

/// How long an idle connection to a partner is kept: shorter than common doors keep theirs (30 to
/// 60 s, ours included), so that no push is sent into a connection that is being closed.
pub const IDLE_CONNECTION_KEEP: Duration = Duration::from_secs(20);

/// Life of an access token (SMART Backend Services advises at most 300 s).
pub const ACCESS_TOKEN_LIFE: Duration = Duration::from_secs(300);

/// Longest access token read: client id, key id and a few hundred scopes.
pub const ACCESS_TOKEN_BYTES_MAX: usize = 16 * 1024;

/// A client assertion may expire at most so far ahead (SMART Backend Services: five minutes).
pub const ASSERTION_LIFE_MAX: Duration = Duration::from_secs(300);

/// How far ahead our own assertions expire: inside five minutes even where a clock is off.
pub const ASSERTION_LIFE: Duration = Duration::from_secs(240);

/// Two houses' clocks may differ by so much.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(60);

/// Longest `jti` kept for the replay check.
pub const JTI_BYTES_MAX: usize = 256;

/// Longest client assertion read.
pub const ASSERTION_BYTES_MAX: usize = 16 * 1024;

/// Scopes asked for in one token request.
pub const SCOPES_MAX: usize = 300;

/// Assertions remembered in memory where no store is behind the gate (simulated EHR, tests):
/// 10 minutes at 160 sign-ins a second.
pub const REPLAYS_REMEMBERED_MAX: usize = 100_000;

/// Our client asks for a new token so long before the old one ends, so that none ends on the way.
pub const TOKEN_REFRESH_AHEAD: Duration = Duration::from_secs(30);

/// Life assumed of a token whose answer names none.
pub const TOKEN_LIFE_ASSUMED: Duration = Duration::from_secs(60);

/// Longest text of a partner's sign-in error that is repeated to a person.
pub const PARTNER_WORDS_MAX: usize = 200;

/// Longest wait a partner's `Retry-After` can impose; more is a person's matter.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Life of the certificate authority made by `init`.
pub const AUTHORITY_YEARS: i16 = 10;

/// Life of a server certificate: below the 398 days that platforms accept.
pub const SERVER_CERTIFICATE_DAYS: i64 = 397;

// UDAP and certificates.

/// Most certificates in a chain that comes with a JWT: a leaf, four authorities, an anchor.
pub const CHAIN_CERTIFICATES_MAX: usize = 6;

/// Largest certificate read: one of RSA 4096 with a page of names is below.
pub const CERTIFICATE_BYTES_MAX: usize = 8 * 1024;

/// Longest JWT of UDAP: a chain in base64, twice.
pub const UDAP_JWT_BYTES_MAX: usize = 40 * 1024;

/// Largest registration: a software statement and a few certifications.
pub const REGISTRATION_BYTES_MAX: usize = 128 * 1024;

/// Longest name, URI or contact that a registration may bring.
pub const REGISTRATION_WORDS_MAX: usize = 512;

/// Most contacts, certifications or grant types in a registration.
pub const REGISTRATION_LIST_MAX: usize = 32;

/// Life of signed metadata; the guide allows a year, and a day outlasts every outage of a client's
/// cache.
pub const SIGNED_METADATA_LIFE: Duration = Duration::from_secs(24 * 3600);

/// A client takes signed metadata that lives for a year at most (FAST Security, discovery).
pub const SIGNED_METADATA_LIFE_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// Purposes that one token may serve: all that an agreement can name, and no more.
pub const PURPOSES_MAX: usize = 5;

/// What a client learnt of a server's metadata is asked anew after so long.
pub const METADATA_KEPT: Duration = Duration::from_secs(3600);

/// Largest set of keys that a partner publishes: fifty RSA keys with their certificates.
pub const JWKS_BYTES_MAX: usize = 64 * 1024;

/// Most keys of one set: a partner rotates two or three.
pub const JWKS_KEYS_MAX: usize = 50;

/// Longest id of a key: a thumbprint has 43 characters, a URL some more.
pub const KID_BYTES_MAX: usize = 200;

/// How long a set is kept whose partner says nothing: as long as a token lives.
pub const JWKS_KEEP: Duration = Duration::from_secs(300);

/// How long a set is kept at most, whatever its partner says: a key that was stolen and removed works
/// no longer than that.
pub const JWKS_KEEP_MAX: Duration = Duration::from_secs(3_600);

/// Between two fetches of one set: key ids that nobody knows cost anybody nothing to invent.
pub const JWKS_REFRESH_FLOOR: Duration = Duration::from_secs(10);

/// After a refusal that told nothing by its time, further ones of the same client id come at once for so
/// long, and ask nobody: as long as a set is not asked for again anyway.
pub const REFUSED_AT_ONCE: Duration = JWKS_REFRESH_FLOOR;

/// How long a sign-in waits for the set of keys. The fetch itself goes on to its own end.
pub const JWKS_WAIT_MAX: Duration = Duration::from_secs(2);

/// Time for a whole fetch of a set of keys.
pub const JWKS_FETCH_MAX: Duration = Duration::from_secs(10);

/// Most blocks of addresses that a house lets partners' URLs lead to: more is no list but a door.
pub const NETWORKS_MAX: usize = 100;

/// Most certificates that a peer presents: its own and those up to its authority.
pub const CLIENT_CHAIN_MAX: usize = 8;

/// Most URIs that a community's member has in one certificate: its doors in all their versions.
pub const COMMUNITY_URIS_MAX: usize = 16;

/// Most certificates of a server that are looked at before anybody trusts it: as of a client's.
pub const SERVER_CHAIN_MAX: usize = 8;

/// Life of a client certificate: renewed together with the server's.
pub const CLIENT_CERTIFICATE_DAYS: i64 = SERVER_CERTIFICATE_DAYS;

// Keys.

/// Bits of an RSA key that is made here: enough until 2030 (NIST SP 800-57), and every assertion costs
/// a third of what 3072 bits cost.
pub const RSA_BITS: usize = 2048;

/// Bits of the smallest RSA key that signs (SMART App Launch, RS384; RFC 7518 §3.3).
pub const RSA_BITS_MIN: usize = 2048;

/// How long others may keep this house's public keys (`Cache-Control` of its JWK Set): a key that is
/// retired in haste is trusted no longer than that.
pub const PUBLIC_KEYS_KEEP: Duration = Duration::from_secs(300);

// The head of a request, and what every answer says.

/// Longest path and query: what a search needs goes in a form beyond that, and RFC 9110 §4.1 asks for
/// 8,000 bytes at least.
pub const URL_BYTES_MAX: usize = 16 * 1024;

/// Most headers of a request; a browser sends twenty, a proxy adds five.
pub const HEADERS_MAX: usize = 64;

/// Bytes of all names and values of them: the longest access token, and as much again.
pub const HEADERS_BYTES_MAX: usize = 32 * 1024;

/// Bytes of a head that are read at all before the connection ends without a word: twice what is
/// refused in words.
pub const HEAD_READ_MAX: usize = 2 * (URL_BYTES_MAX + HEADERS_BYTES_MAX);

/// Headers that are read at all, likewise.
pub const HEADERS_READ_MAX: usize = 4 * HEADERS_MAX;

/// How long whoever has seen this house over TLS asks it over TLS only (RFC 6797): a year.
pub const TLS_ONLY: Duration = Duration::from_secs(365 * 24 * 3_600);

// Rates.

/// Requests a minute of one client that has signed in: a fifth of what a house on two cores files one
/// by one, and a hundred times what a hospital pushes in its busiest minute.
pub const REQUESTS_PER_MINUTE: u32 = 60_000;

/// Sign-ins and registrations a minute from one address: each costs a signature, half a millisecond,
/// and a partner needs one in five minutes. Many partners may stand behind one address.
pub const SIGN_INS_PER_MINUTE: u32 = 3_000;

/// One part in so many of a minute's requests may come at once: what ten seconds fill.
pub const RATE_BURST_PART: u32 = 6;

/// Clients, and addresses, whose rates are remembered: some megabytes, and more than have business
/// here within ten seconds.
pub const RATE_BUCKETS_MAX: usize = 10_000;

// Files of a bulk submission.

/// Largest manifest: 100,000 files, each with a URL of 300 characters.
pub const MANIFEST_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Largest document that says where to sign in.
pub const OAUTH_METADATA_BYTES_MAX: u64 = 256 * 1024;

/// Authorization servers of one protected resource that are looked at.
pub const AUTHORIZATION_SERVERS_MAX: usize = 5;

/// Longest line of a file. A resource with a scanned page inside has some megabytes; four lines of
/// this length and the pieces around them are all that a download holds.
pub const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Largest file, decoded: a hundred million small resources. Senders split long before.
pub const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;

/// Decoded bytes for each that came, on average. FHIR packs 10 to 50 times, zeros 1,000 times.
pub const DECODED_PER_ENCODED_MAX: u64 = 200;

/// From so many decoded bytes on the average is looked at: a small file harms nobody.
pub const RATIO_FROM_BYTES: u64 = 16 * 1024 * 1024;

/// Bytes that are split into lines at once.
pub const FILE_PIECE: usize = 256 * 1024;

/// Pieces of a body that wait to be decoded, each as large as one read of the network.
pub const PIECES_AHEAD: usize = 8;

/// Batches of lines that wait to be taken, each of one piece.
pub const BATCHES_AHEAD: usize = 2;

/// Time without a byte of a file before the connection is given up.
pub const FILE_IDLE_MAX: Duration = Duration::from_secs(30);

/// Time for a body that is taken as it comes, all of it.
pub const TAKEN_MAX: Duration = Duration::from_secs(3_600);

/// How often one download takes up a broken connection by itself: each time it has brought lines.
pub const RESUMES_MAX: u32 = 8;

/// Attempts that bring nothing new before a person is told: 24 minutes, and more where the server
/// asks for it.
pub const FETCH_ATTEMPTS_MAX: u32 = 12;

/// Longest wait between two of them, unless the server asks for more.
pub const FETCH_PAUSE_MAX: Duration = Duration::from_secs(300);

/// Redirects within one origin that are followed: a short name, a trailing slash.
pub const FILE_REDIRECTS_MAX: usize = 3;

/// Origins of one partner's files: some storages, and some servers of its own.
pub const FILE_ORIGINS_MAX: usize = 20;

/// Longest URL of a manifest or file: signed URLs of storages have 2,000 characters.
pub const FILE_URL_BYTES_MAX: usize = 8 * 1024;

/// Most headers that a submission wants sent with each request.
pub const FILE_HEADERS_MAX: usize = 20;

/// Bytes of their names and values.
pub const FILE_HEADERS_BYTES_MAX: usize = 8 * 1024;

/// Largest body of `$bulk-submit` and `$bulk-submit-status`: some URLs and headers, each bounded. It is
/// kept.
pub const BULK_REQUEST_BYTES_MAX: usize = 256 * 1024;

/// Places whose last poll is remembered, in each house: more than are ever waited for.
pub const POLLED_MAX: usize = 10_000;
