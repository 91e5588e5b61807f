//! Configuration: one typed TOML file per house, and the files it names.
//!
//! Comes in   a folder with `house.toml`, keys, partners' public files and agreements.
//! Goes out   a checked `House` with every path resolved; or an issue with file, line, suggestion.
//! Never      a default that is not written in the file `init` makes, and never a secret in words.

mod directory;
mod source;
mod udap;

pub use crate::feed::RestrictionsFile;
pub use crate::readers::{Reader, ReaderFile};
pub use directory::{DirectoryFile, DirectoryKind};
pub use source::SourceFile;
pub use udap::{CommunityFile, UdapFile};

use crate::whole;
use exchange::agreement::Terms;
use exchange::partner::{PublicFile, PublicIdentifier, Role};
use exchange::{Code, HouseId, Issue, PartnerId, partner, tomlfile};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use store::PostgresPlace;

/// The name of the configuration file in a house's folder.
pub const FILE: &str = "house.toml";

/// Its name in a folder that a house is being restored into.
pub const UNFINISHED: &str = "house.toml.unfinished";

/// `house.toml`, as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HouseFile {
    /// Short name: letters, digits, `-`.
    pub name: String,
    /// Name in words.
    pub title: String,
    /// Which road it walks.
    pub role: Role,
    /// The URI derived ids are made with; frozen at `init`.
    pub namespace: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// How partners reach it.
    pub base_url: String,
    /// Certificate of the server.
    pub tls: Option<TlsFile>,
    /// Where URLs that partners influence may lead to.
    #[serde(default)]
    pub network: NetworkFile,
    /// How often partners may ask.
    #[serde(default)]
    pub limits: LimitsFile,
    /// Keys and secrets.
    pub keys: KeysFile,
    /// Folder of the store.
    pub store: PathBuf,
    /// The database server, where several processes share the house; else it lies in `store`.
    pub database: Option<DatabaseFile>,
    /// Where large contents lie, when not in `store`.
    pub blobs: Option<BlobsFile>,
    /// Folder of the partners' public files.
    pub partners: PathBuf,
    /// Folder of the agreements.
    pub agreements: PathBuf,
    /// Sending: where charts are read.
    pub source: Option<SourceFile>,
    /// Sending: whom it watches.
    pub watch: Option<WatchFile>,
    /// Sending: the table of restrictions, and how old it may be.
    pub restrictions: Option<RestrictionsFile>,
    /// Sending: the table of payors.
    pub payors: Option<PathBuf>,
    /// Sending: directories of payers' endpoints, in the order in which they are asked.
    #[serde(default)]
    pub directory: Vec<DirectoryFile>,
    /// Sending: the table of payers, for directories.
    pub payers: Option<PathBuf>,
    /// Receiving: the file of members.
    pub members: Option<PathBuf>,
    /// Receiving: identifiers a Coverage names this payer by.
    #[serde(default)]
    pub payer_identifiers: Vec<PublicIdentifier>,
    /// Receiving: platforms of its own that read what partners have filed.
    #[serde(default)]
    pub reader: Vec<ReaderFile>,
    /// What it is in UDAP's trust communities.
    pub udap: Option<UdapFile>,
}

/// `[tls]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFile {
    /// PEM chain.
    pub certificate: PathBuf,
    /// PEM key.
    pub key: PathBuf,
    /// PEM of the authority it comes from: partners trust this one.
    pub authority: PathBuf,
    /// PEM chain that this house presents to partners who ask for a certificate.
    pub client_certificate: Option<PathBuf>,
    /// Its PEM key.
    pub client_key: Option<PathBuf>,
    /// Lists of revoked client certificates (CRL, PEM), of whatever authority.
    #[serde(default)]
    pub client_crls: Vec<PathBuf>,
}

/// `[network]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkFile {
    /// Blocks of addresses beside the public ones, such as `10.20.0.0/16`.
    #[serde(default)]
    pub allow: Vec<String>,
}

/// `[limits]`
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsFile {
    /// Requests a minute of one client; 0: no limit. None: `wire::limits::REQUESTS_PER_MINUTE`.
    pub requests_per_minute: Option<u32>,
    /// Sign-ins and registrations a minute from one address; 0: no limit. None:
    /// `wire::limits::SIGN_INS_PER_MINUTE`.
    pub sign_ins_per_minute: Option<u32>,
}

impl LimitsFile {
    /// What of it holds at the gate.
    pub fn rates(&self) -> wire::RateLimits {
        let usual = wire::RateLimits::default();
        wire::RateLimits {
            requests: self.requests_per_minute.unwrap_or(usual.requests),
            sign_ins: self.sign_ins_per_minute.unwrap_or(usual.sign_ins),
        }
    }
}

/// `[database]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseFile {
    /// Where PostgreSQL is, in libpq's words or as a URL, without the password.
    pub postgres: String,
    /// File of the password, where one is needed.
    pub password: Option<PathBuf>,
    /// PEM of the authority the server's certificate comes from, where it is on another machine.
    pub authority: Option<PathBuf>,
}

/// `[blobs]`: one of both.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlobsFile {
    /// A folder; all machines of the house see the same one.
    pub folder: Option<PathBuf>,
    /// A bucket.
    pub s3: Option<S3File>,
}

/// `[blobs.s3]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3File {
    /// URL of the storage; none: Amazon's own in the region. Plain HTTP on this machine only.
    pub endpoint: Option<String>,
    /// The region that signatures name.
    pub region: String,
    /// The bucket, which must exist.
    pub bucket: String,
    /// What the names of its objects begin with.
    pub prefix: Option<String>,
    /// File of the access key, in the form of Amazon's `credentials`; none: the environment
    /// (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`).
    pub credentials: Option<PathBuf>,
    /// PEM of the authority its certificate comes from; none: those the machine trusts.
    pub authority: Option<PathBuf>,
}

/// `[keys]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysFile {
    /// ES384 key for this house's client assertions.
    pub signing: PathBuf,
    /// Ed25519 key for the ledger's checkpoints.
    pub ledger: PathBuf,
    /// 32 bytes in hex: the MAC key of access tokens this house issues.
    pub tokens: PathBuf,
    /// ES384 key the command line signs in with when the house runs.
    pub operator: PathBuf,
    /// Public keys (hex) that signed the ledger before and sign no more.
    #[serde(default)]
    pub retired: Vec<String>,
}

/// `[watch]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchFile {
    /// A Patient id, or a record number `system|value`, a line.
    pub roster: Option<PathBuf>,
    /// Whether everybody with an agreement's coverage is watched, as far as the EHR can be asked that.
    #[serde(default)]
    pub coverage: bool,
    /// How often each patient is looked at, in minutes.
    #[serde(default = "WatchFile::every_minutes")]
    pub every_minutes: u16,
    /// How far before its beginning a watch reaches, in hours.
    #[serde(default = "WatchFile::overlap_hours")]
    pub overlap_hours: u16,
    /// Whether the EHR is also asked for what changed in its whole population (`_lastUpdated`).
    #[serde(default)]
    pub population: bool,
    /// Searches a minute, of all processes together; 0: as many as there are.
    #[serde(default = "WatchFile::requests_per_minute")]
    pub requests_per_minute: u32,
    /// The day from which on all is news, for patients who are new on the roster.
    pub since: Option<String>,
}

impl WatchFile {
    fn every_minutes() -> u16 {
        15
    }

    fn overlap_hours() -> u16 {
        24
    }

    fn requests_per_minute() -> u32 {
        60
    }
}

/// A house's configuration, read and checked.
#[derive(Debug, Clone)]
pub struct House {
    /// The folder `house.toml` lies in.
    pub folder: PathBuf,
    /// The file.
    pub file: HouseFile,
    /// Partners' public files by name.
    pub partners: BTreeMap<PartnerId, PublicFile>,
    /// Agreements by partner.
    pub terms: BTreeMap<PartnerId, Terms>,
    /// The house's own readers, with their keys.
    pub readers: Vec<Reader>,
    /// What of partners and agreements cannot be read; none in a house of `read`.
    pub fault: Option<Issue>,
    /// The names of all partners, where there is such a fault.
    pub unread: Vec<PartnerId>,
}

/// Partners' public files, agreements and readers.
type Agreed = (BTreeMap<PartnerId, PublicFile>, BTreeMap<PartnerId, Terms>, Vec<Reader>);

impl House {
    /// Reads a house's folder.
    ///
    /// Errors: `ConfigInvalid`, `PartnerUnknown` for an agreement without a public file.
    pub fn read(folder: &Path) -> Result<House, Issue> {
        let house = House::read_as_far(folder)?;
        house.fault.clone().map_or(Ok(house), Err)
    }

    /// Reads `house.toml`, and the files it names as far as that goes: what is wrong with an agreement
    /// stops no command that needs none, and none that a running house carries out.
    ///
    /// Errors: `ConfigInvalid` for `house.toml` itself.
    pub fn read_as_far(folder: &Path) -> Result<House, Issue> {
        if !folder.join(FILE).exists() && folder.join(UNFINISHED).exists() {
            let detail = "a restore into this folder was cut off; empty it, but for the keys";
            return Err(Issue::new(Code::BackupUnusable, detail)
                .at(folder.join(UNFINISHED).display().to_string()));
        }
        let text = read_text(&folder.join(FILE))?;
        let file: HouseFile = toml::from_str(&text)
            .map_err(|error| tomlfile::issue(Code::ConfigInvalid, FILE, &text, &error))?;
        check_name(&file.name)?;
        let invalid = |detail| Issue::new(Code::ConfigInvalid, detail);
        partner::check_namespace(&file.namespace)
            .map_err(|detail| invalid(detail).at("house.toml: namespace"))?;
        partner::check_title(&file.title)
            .map_err(|detail| invalid(detail).at("house.toml: title"))?;
        check_database(file.database.as_ref())?;
        wire::reach::Network::allowing(&file.network.allow)?;
        file.restrictions.as_ref().map_or(Ok(()), RestrictionsFile::check)?;
        file.source.as_ref().map_or(Ok(()), SourceFile::check)?;
        let mut house = House {
            folder: folder.to_owned(),
            file,
            partners: BTreeMap::new(),
            terms: BTreeMap::new(),
            readers: Vec::new(),
            fault: None,
            unread: Vec::new(),
        };
        house.check_scheme()?;
        match house.read_agreed() {
            Ok((partners, terms, readers)) => {
                (house.partners, house.terms, house.readers) = (partners, terms, readers);
            }
            Err(issue) => (house.fault, house.unread) = (Some(issue), house.named()),
        }
        Ok(house)
    }

    fn read_agreed(&self) -> Result<Agreed, Issue> {
        let HouseFile { name, namespace, partners, agreements, .. } = &self.file;
        let public = read_partners(&self.path(partners))?;
        partner::check_identities(name, namespace, FILE, &public)?;
        let partners = public.into_iter().map(|(_, file)| (file.name.clone(), file)).collect();
        let terms = read_agreements(&self.path(agreements), &partners)?;
        self.check_pulls(&terms)?;
        let readers = crate::readers::read(self, &partners)?;
        Ok((partners, terms, readers))
    }

    /// Who pulls is given those who are watched: without any, an export would be empty and say nothing of it.
    fn check_pulls(&self, terms: &BTreeMap<PartnerId, Terms>) -> Result<(), Issue> {
        let pulls = |terms: &Terms| terms.agreement.bulk.as_ref().is_some_and(|it| it.pull);
        match terms.iter().find(|(_, terms)| pulls(terms)) {
            Some((name, _)) if self.file.watch.is_none() => {
                let detail =
                    "pull = true gives the payer those who are watched: house.toml has no [watch]";
                let place = format!("{}/{name}.toml: bulk.pull", self.file.agreements.display());
                Err(Issue::new(Code::ConfigInvalid, detail).at(place))
            }
            _ => Ok(()),
        }
    }

    /// The partners by the names of their files, which `partner add` gives them, and by what can be read.
    fn named(&self) -> Vec<PartnerId> {
        let folder = self.path(&self.file.partners);
        let public = files(&folder, "json").unwrap_or_default();
        let agreed = files(&self.path(&self.file.agreements), "toml").unwrap_or_default();
        let read = public.iter().filter_map(|path| {
            let text = read_text(path).ok()?;
            Some(PublicFile::parse(&text, "").ok()?.name.to_string())
        });
        let mut names: Vec<String> = read.collect();
        let stems = public.iter().chain(&agreed).filter_map(|path| path.file_stem());
        names.extend(stems.map(|stem| stem.to_string_lossy().into_owned()));
        names.sort();
        names.dedup();
        names.iter().map(|name| name.as_str().into()).collect()
    }

    /// The house's id.
    pub fn id(&self) -> HouseId {
        self.file.name.as_str().into()
    }

    /// A path of the configuration, from the house's folder.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    /// Where the ledger's anchor is: beside its key.
    pub fn anchor(&self) -> PathBuf {
        self.path(&self.file.keys.ledger).with_extension("anchor")
    }

    /// The file of members, as the configuration names it.
    pub fn members(&self) -> &Path {
        self.file.members.as_deref().unwrap_or(Path::new("members.csv"))
    }

    /// The table of restrictions, as the configuration names it.
    pub fn restrictions(&self) -> &Path {
        let named = self.file.restrictions.as_ref().and_then(|it| it.table.as_deref());
        named.unwrap_or(Path::new("restrictions.toml"))
    }

    /// The table of payors, as the configuration names it.
    pub fn payors(&self) -> &Path {
        self.file.payors.as_deref().unwrap_or(Path::new("payors.toml"))
    }

    /// The table of payers, as the configuration names it.
    pub fn payers(&self) -> &Path {
        self.file.payers.as_deref().unwrap_or(Path::new("payers.toml"))
    }

    /// Where URLs that partners influence may lead to.
    pub fn network(&self) -> Result<wire::reach::Network, Issue> {
        wire::reach::Network::allowing(&self.file.network.allow)
    }

    /// Files of private keys and secrets that the configuration names: no backup holds them.
    pub fn secrets(&self) -> Vec<&Path> {
        let HouseFile { keys, tls, source, database, blobs, .. } = &self.file;
        let mut files = vec![&keys.signing, &keys.ledger, &keys.tokens, &keys.operator];
        files.extend(tls.iter().map(|tls| &tls.key));
        files.extend(self.file.udap.iter().flat_map(|udap| udap.keys()));
        files.extend(tls.iter().filter_map(|tls| tls.client_key.as_ref()));
        files.extend(source.iter().filter_map(|source| source.key.as_ref()));
        files.extend(database.iter().filter_map(|database| database.password.as_ref()));
        let storage = blobs.iter().filter_map(|blobs| blobs.s3.as_ref());
        files.extend(storage.filter_map(|s3| s3.credentials.as_ref()));
        files.into_iter().map(PathBuf::as_path).collect()
    }

    /// Reads a file the configuration names; errors name the file.
    pub fn text(&self, path: &Path) -> Result<String, Issue> {
        read_text(&self.path(path))
    }

    /// Whether the house may listen where it is told to: beyond loopback only with TLS and sign-in.
    ///
    /// Errors: `BindRefused`.
    pub fn check_bind(&self) -> Result<(), Issue> {
        let HouseFile { listen, tls, .. } = &self.file;
        if !listen.ip().is_loopback() && (tls.is_none() || self.partners.is_empty()) {
            let detail = "this house listens beyond loopback without TLS, or without any partner";
            return Err(Issue::new(Code::BindRefused, detail).at("house.toml: listen"));
        }
        Ok(())
    }

    fn check_scheme(&self) -> Result<(), Issue> {
        let HouseFile { tls, base_url, .. } = &self.file;
        let scheme = if tls.is_some() { "https://" } else { "http://" };
        if !base_url.starts_with(scheme) {
            let detail = format!("base_url must begin with {scheme} to fit [tls]");
            return Err(Issue::new(Code::ConfigInvalid, detail).at("house.toml: base_url"));
        }
        Ok(())
    }
}

/// Whether the connection string is fit for a file that goes into every backup.
fn check_database(database: Option<&DatabaseFile>) -> Result<(), Issue> {
    if database.is_none_or(|database| !PostgresPlace::has_password(&database.postgres)) {
        return Ok(());
    }
    let detail = "the connection string holds a password, and would take it into every backup: name \
        a file of keys/ that holds it, password = \"keys/database.txt\"";
    Err(Issue::new(Code::ConfigInvalid, detail).at("house.toml: database.postgres"))
}

/// Whether a text can be the name of a house. Errors: `ConfigInvalid`.
pub fn check_name(name: &str) -> Result<(), Issue> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if (1..=40).contains(&name.len()) && name.chars().all(good) && name != partner::OPERATOR {
        return Ok(());
    }
    let detail = "a house's name is 1 to 40 lower-case letters, digits and hyphens, not `operator`";
    Err(Issue::new(Code::ConfigInvalid, detail).at("house.toml: name"))
}

/// Reads a text file; errors name the file's last part.
pub fn read_text(path: &Path) -> Result<String, Issue> {
    fs::read_to_string(path).map_err(|error| {
        tracing::debug!(%error, "file cannot be read");
        Issue::new(Code::ConfigInvalid, "a file cannot be read").at(path.display().to_string())
    })
}

/// Writes a text file people will read, whole or not at all; errors name the file.
pub fn write_text(path: &Path, text: &str) -> Result<(), Issue> {
    whole::write(path, text).map_err(|_| unwritable(path))
}

/// A file or folder cannot be written.
pub(crate) fn unwritable(path: &Path) -> Issue {
    Issue::new(Code::ConfigInvalid, "a file cannot be written").at(path.display().to_string())
}

/// Files of a folder with this ending, in the order of their names; none when it does not exist.
fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, Issue> {
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(_) => {
            let issue = Issue::new(Code::ConfigInvalid, "a folder cannot be read");
            return Err(issue.at(folder.display().to_string()));
        }
    };
    let mut found: Vec<PathBuf> = listing.filter_map(|entry| Some(entry.ok()?.path())).collect();
    found.retain(|path| path.extension().is_some_and(|found| found == ending));
    found.sort();
    Ok(found)
}

/// The public files of a folder, each with where it lies. What they say of keys decides who gets in, so
/// one that everybody on the machine may write is not read (SMART App Launch 2.2, registering a client).
///
/// Errors: `ConfigInvalid`.
pub fn read_partners(folder: &Path) -> Result<Vec<(String, PublicFile)>, Issue> {
    let read = |path: PathBuf| {
        let place = path.display().to_string();
        if writable_by_all(&path) {
            let detail = "everybody on this machine may write the partner's file, and with it the keys \
                that get in: take that right away (chmod o-w)";
            return Err(Issue::new(Code::ConfigInvalid, detail).at(place));
        }
        let public = PublicFile::parse(&read_text(&path)?, &place)?;
        Ok((place, public))
    };
    files(folder, "json")?.into_iter().map(read).collect()
}

fn writable_by_all(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(path).is_ok_and(|it| it.permissions().mode() & 0o002 != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}

fn read_agreements(
    folder: &Path,
    partners: &BTreeMap<PartnerId, PublicFile>,
) -> Result<BTreeMap<PartnerId, Terms>, Issue> {
    let value_sets = |name: &str| {
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        let path = folder.join("valuesets").join(format!("{name}.txt"));
        plain.then(|| fs::read_to_string(path).ok()).flatten()
    };
    let mut agreements = BTreeMap::new();
    for path in files(folder, "toml")? {
        let name = path.display().to_string();
        let terms = Terms::parse(&read_text(&path)?, &name, &value_sets)?;
        let partner = terms.agreement.partner.clone();
        let Some(public) = partners.get(&partner) else {
            let detail = "the agreement names a partner whose public file is missing";
            return Err(Issue::new(Code::PartnerUnknown, detail).at(format!("{name}: partner")));
        };
        let bulk = terms.agreement.bulk.as_ref();
        if let Some(detail) = bulk.and_then(|bulk| bulk.misfit(public)) {
            let place = format!("{name}: bulk.organized_by");
            return Err(Issue::new(Code::ConfigInvalid, detail).at(place));
        }
        if agreements.insert(partner, terms).is_some() {
            let detail = "two agreements name the same partner";
            return Err(Issue::new(Code::ConfigInvalid, detail).at(format!("{name}: partner")));
        }
    }
    Ok(agreements)
}

#[cfg(test)]
mod tests {
    //! Goal: no secret stands where a backup takes it along.

    use super::*;

    #[test]
    fn limits_are_those_that_are_written_and_else_the_usual_ones() {
        let usual = wire::RateLimits::default();
        let table = [
            ("", Some(usual)),
            ("requests_per_minute = 5", Some(wire::RateLimits { requests: 5, ..usual })),
            ("sign_ins_per_minute = 0", Some(wire::RateLimits { sign_ins: 0, ..usual })),
            ("requests_per_minute = -1", None),
            ("requests_per_second = 5", None),
        ];
        for (text, rates) in table {
            let found = toml::from_str::<LimitsFile>(text).ok().map(|limits| limits.rates());
            assert_eq!(found, rates, "{text}");
        }
    }

    #[test]
    fn a_connection_string_holds_no_password() {
        let table = [
            ("postgresql://handover@db.example/hospital?sslmode=verify-full", true),
            ("host=/run/postgresql user=handover dbname=handover", true),
            ("host=db.example user=password", true),
            ("postgresql://handover:s3cret@db.example/hospital", false),
            ("postgresql://db.example/hospital?user=a&password=s3cret", false),
            ("postgresql://handover:s%33cret@db.example/h?sslmode=verify-ca", false),
            ("host=db.example password=s3cret dbname=hospital sslmode=verify-full", false),
            ("host=db.example password = 's3 cret'", false),
        ];
        for (postgres, fit) in table {
            let file =
                DatabaseFile { postgres: postgres.to_owned(), password: None, authority: None };
            let checked = check_database(Some(&file));
            let issue = checked.as_ref().err().map(|issue| (issue.code, issue.to_string()));
            assert_eq!(issue.is_none(), fit, "{postgres}");
            if let Some((code, words)) = issue {
                assert_eq!(code, Code::ConfigInvalid);
                assert!(!words.contains("cret") && words.contains("keys/database.txt"), "{words}");
            }
        }
        assert!(check_database(None).is_ok());
    }
}
