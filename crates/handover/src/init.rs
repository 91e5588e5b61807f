//! `init`: a new house in a folder, ready to exchange public files.
//!
//! Comes in   role, name, where it listens.
//! Goes out   a commented configuration, keys, a private authority with a server certificate, and
//!            `public.json` for partners.
//! Never      overwrites anything: a key that partners know must not be lost by a second `init`.

use crate::args::InitArgs;
use crate::config::{self, unwritable, write_text};
use exchange::partner::{self, ClientCertificate, PublicFile, PublicIdentifier, Role};
use exchange::{Code, Issue};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use store::LedgerKey;
use wire::{SigningKey, keys, tls};

/// What `init` needs to know.
pub struct NewHouse {
    /// Which road it walks.
    pub role: Role,
    /// Short name.
    pub name: String,
    /// Name in words.
    pub title: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Host names and addresses of the certificate; the first one stands in the base URL.
    pub hosts: Vec<String>,
    /// The URI derived ids are made with; named after the house when not given.
    pub namespace: Option<String>,
    /// Receiving: `system|value` identifiers a Coverage names it by.
    pub payer_identifiers: Vec<PublicIdentifier>,
    /// Sending: FHIR base URL of the EHR, when known.
    pub source: Option<String>,
}

impl NewHouse {
    /// What a person gave, with what can be guessed from it.
    ///
    /// Errors: `ConfigInvalid` for a name that is none.
    pub fn from_args(args: &InitArgs) -> Result<NewHouse, Issue> {
        let folder = args.folder.file_name().map(|name| name.to_string_lossy().to_lowercase());
        let name = args.name.clone().or(folder).unwrap_or_default();
        config::check_name(&name).map_err(|issue| issue.at("--name"))?;
        let role = Role::from(args.role);
        let port = if role == Role::Provider { 8443 } else { 9443 };
        let listen = args.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], port)));
        let mut hosts = args.hosts.clone();
        if hosts.is_empty() && listen.ip().is_loopback() {
            hosts = vec![listen.ip().to_string(), "localhost".to_owned()];
        }
        if hosts.is_empty() {
            let detail = "say with --host by which name partners reach this house";
            return Err(Issue::new(Code::ConfigInvalid, detail).at("--host"));
        }
        let invalid = |place: &'static str| {
            move |detail: &'static str| Issue::new(Code::ConfigInvalid, detail).at(place)
        };
        let title = args.title.clone().unwrap_or_else(|| name.clone());
        partner::check_title(&title).map_err(invalid("--title"))?;
        let namespace = args.namespace.as_deref().map(partner::check_namespace);
        namespace.transpose().map_err(invalid("--namespace"))?;
        Ok(NewHouse {
            role,
            title,
            name,
            listen,
            hosts,
            namespace: args.namespace.clone(),
            payer_identifiers: args.payer_ids.clone(),
            source: args.source.clone(),
        })
    }

    fn base_url(&self) -> String {
        let host = self.hosts.first().cloned().unwrap_or_else(|| self.listen.ip().to_string());
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        format!("https://{host}:{}/fhir", self.listen.port())
    }
}

/// Makes the house; answers its public file.
///
/// Errors: `ConfigInvalid` when the folder holds a house already or cannot be written.
pub fn init(folder: &Path, new: &NewHouse) -> Result<PublicFile, Issue> {
    if folder.join(config::FILE).exists() {
        let detail = "this folder holds a house already";
        return Err(Issue::new(Code::ConfigInvalid, detail).at(folder.display().to_string()));
    }
    for part in ["keys", "tls", "partners", "agreements/valuesets", "store"] {
        fs::create_dir_all(folder.join(part)).map_err(|_| unwritable(&folder.join(part)))?;
    }
    let signing = SigningKey::generate()?;
    signing.write(&folder.join("keys/signing.pem"))?;
    SigningKey::generate()?.write(&folder.join("keys/operator.pem"))?;
    let (ledger, ledger_pem) = LedgerKey::generate().map_err(|_| {
        Issue::new(Code::KeyUnusable, "a key for the ledger cannot be made").at("keys/ledger.pem")
    })?;
    keys::write_private(&folder.join("keys/ledger.pem"), ledger_pem.as_bytes())?;
    let tokens = exchange::Digest::of(SigningKey::generate()?.to_pem().as_bytes());
    keys::write_private(&folder.join("keys/tokens.hex"), tokens.to_string().as_bytes())?;

    let (authority, authority_key) = tls::make_authority(&format!("{} authority", new.title))?;
    let (certificate, key) = tls::issue_server_certificate(&authority, &authority_key, &new.hosts)?;
    write_text(&folder.join("tls/authority.pem"), &authority)?;
    keys::write_private(&folder.join("tls/authority-key.pem"), authority_key.as_bytes())?;
    write_text(&folder.join("tls/server.pem"), &certificate)?;
    keys::write_private(&folder.join("tls/server-key.pem"), key.as_bytes())?;

    let base_url = new.base_url();
    let client_key = SigningKey::generate()?;
    let client = tls::issue_client_certificate_at(
        &authority,
        &authority_key,
        &base_url,
        &client_key,
        jiff::Timestamp::now(),
    )?;
    write_text(&folder.join("tls/client.pem"), &client)?;
    keys::write_private(&folder.join("tls/client-key.pem"), client_key.secret_pem().as_bytes())?;

    let public = PublicFile {
        name: new.name.as_str().into(),
        role: new.role,
        title: new.title.clone(),
        base_url: base_url.clone(),
        namespace: new
            .namespace
            .clone()
            .unwrap_or_else(|| format!("https://{}.example/fhir", new.name)),
        client_id: new.name.clone(),
        jwks: signing.jwks(),
        jwks_url: String::new(),
        sign_in: None,
        client_certificate: Some(ClientCertificate {
            authority: authority.clone(),
            san: format!("uri:{base_url}"),
            ..ClientCertificate::default()
        }),
        authority,
        payer_identifiers: new.payer_identifiers.clone(),
        ledger_key: exchange::Digest(ledger.public()).to_string(),
        foreign: None,
        udap: None,
        file_servers: Vec::new(),
        submitters: Vec::new(),
    };
    write_public(folder, &public)?;
    match new.role {
        Role::Provider => {
            write_text(&folder.join("restrictions.toml"), RESTRICTIONS)?;
            write_text(&folder.join("payors.toml"), PAYORS)?;
            write_text(&folder.join("payers.toml"), PAYERS)?;
        }
        Role::Payer => write_text(&folder.join("members.csv"), MEMBERS)?,
    }
    for (name, text) in exchange::agreement::DEFAULT_VALUE_SETS {
        write_text(&folder.join(format!("agreements/valuesets/{name}.txt")), text)?;
    }
    // Last, so that a half-made house is not taken for a whole one.
    write_text(&folder.join(config::FILE), &house_toml(new, &public))?;
    config::House::read(folder)?;
    Ok(public)
}

fn write_public(folder: &Path, public: &PublicFile) -> Result<(), Issue> {
    let text = serde_json::to_string_pretty(public).unwrap_or_default();
    write_text(&folder.join("public.json"), &(text + "\n"))
}

/// Writes a partner's public file.
///
/// Errors: `ConfigInvalid` when it cannot be written.
pub fn write_partner(place: &Path, public: &PublicFile) -> Result<(), Issue> {
    let text = serde_json::to_string_pretty(public).unwrap_or_default();
    write_text(place, &(text + "\n"))
}

/// Adds a partner: its public file, and a default agreement to be read and narrowed by people.
/// Answers the agreement's path.
///
/// Errors: `ConfigInvalid` when the file cannot be read or the partner is there already.
pub fn add_partner(folder: &Path, file: &Path) -> Result<std::path::PathBuf, Issue> {
    let house = config::House::read(folder)?;
    let text = config::read_text(file)?;
    let public = PublicFile::parse(&text, &file.display().to_string())?;
    if public.role == house.file.role {
        let detail = "a partner walks the other road: a provider's partners are payers";
        return Err(Issue::new(Code::ConfigInvalid, detail).at(file.display().to_string()));
    }
    crate::doors::check_certificate(&public)?;
    let place = house.path(&house.file.partners).join(format!("{}.json", public.name));
    if place.exists() {
        let detail = format!("the partner {} is there already", public.name);
        return Err(Issue::new(Code::ConfigInvalid, detail).at(place.display().to_string()));
    }
    let mut all = config::read_partners(&house.path(&house.file.partners))?;
    all.push((file.display().to_string(), public.clone()));
    partner::check_identities(&house.file.name, &house.file.namespace, config::FILE, &all)?;
    let agreement = house.path(&house.file.agreements).join(format!("{}.toml", public.name));
    if !agreement.exists() {
        write_text(&agreement, &exchange::agreement::default_text(&public))?;
    }
    write_text(&place, &text)?;
    Ok(agreement)
}

const RESTRICTIONS: &str = "\
# Restrictions of this house: what must not travel whatever an agreement says.
# Read anew before every push; when this file cannot be read, nothing is sent.
# `handover restriction add|import|remove` changes it, and says in the ledger who did.
#
# as_of = 2026-11-22T06:00:00Z  # until when the rows are known; [restrictions] in house.toml says
#                               # how old that may be
#
# [[restriction]]
# subject = \"Encounter/123\"   # or Patient/…, Observation/…: ids of the EHR
# reason = \"self-pay\"         # a word for people: self-pay, patient-wish, consent, part-2-programme
# payers = []                 # partner names; empty: nobody may have it
# except_purposes = [\"TREAT\"] # purposes it does not hold against; without the line: all are held
";

const PAYORS: &str = "\
# The payors of this house's charts, and the partner that each one leads to.
# Read anew before every push. An agreement's payer_identifiers are rows as well: rows here are for
# payors without these identifiers, and for plans and groups of theirs that are somebody else's.
# `handover payor list` shows whom nobody has mapped, `handover payor map` writes a row.
#
# A row fits where all that it names fits. The row that names most counts, and of two the dated one.
# Where two say as much and lead to different ends, a person is asked.
#
# [[payor]]
# identifier = \"urn:oid:2.16.840.1.113883.6.300|99001\"  # system|value, or a value of any system
# reference = \"Organization/17\"     # the payor's id in the EHR
# name = \"Blue Cross of Nowhere\"    # exactly, but for case and spaces
# class = \"group|G-77\"              # Coverage.class: type|value, or a value of any type
# member_id = \"XYZ######*\"          # # a digit, @ a letter, ? either, * anything, at the end only
# from = 2025-01-01                 # days of service
# until = 2025-12-31
# partner = \"sunrise\"               # whose agreement counts; or none = \"why nobody is told\"
# legal_payer = \"Sunrise of Ohio\"   # for people: who is the payer in law,
# delegate = \"North Medical Group\"  # and who acts for it
";

const PAYERS: &str = "\
# By what directories know this house's payers, where their public files do not say it: no authority
# assigns identifiers of payers, and clearinghouses have numbers of their own.
# Read anew whenever directories are asked; `handover directory find PAYER` shows what comes of it.
#
# [[payer]]
# partner = \"sunrise\"
# identifiers = [\"urn:oid:2.16.840.1.113883.6.300|99001\"]   # system|value, each leads to one payer
# name = \"Sunrise Health Plan, Inc.\"        # as directories have it
# organization = \"Organization/sunrise\"     # its id in the directory, where that is known
# configuration = \"https://sunrise.example/.well-known/davinci-configuration\"
";

const MEMBERS: &str = "member_id,family,given,birth_date,gender\n";

fn house_toml(new: &NewHouse, public: &PublicFile) -> String {
    let head = house_head(new, public);
    match new.role {
        Role::Provider => {
            [&head, PROVIDERS_TABLES, HOUSE_KEYS, &network_toml(new), &source_toml(new)].concat()
        }
        Role::Payer => [&head, &*payers_tables(new), HOUSE_KEYS, &network_toml(new)].concat(),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// Who it is, and where its things lie.
fn house_head(new: &NewHouse, public: &PublicFile) -> String {
    let role = match new.role {
        Role::Provider => "provider",
        Role::Payer => "payer",
    };
    format!(
        "\
# A house of Handover. Every key is written here; an unknown key is an error.
# Paths are relative to this file's folder.

name = {name}
title = {title}
role = \"{role}\"

# The URI this house's derived ids are made with. Partners have registered it: never change it.
namespace = {namespace}

# Where it listens, and how partners reach it. Beyond loopback only with [tls] and a partner.
listen = {listen}
base_url = {base_url}

# One public file per partner; `handover partner add FILE` puts it there.
partners = \"partners\"
# One agreement per partner, and value sets in its folder valuesets/.
agreements = \"agreements\"
# Database and large contents.
store = \"store\"
# Several processes share a house that lies in PostgreSQL (`handover serve --listen` for each):
# [database]
# postgres = \"host=/run/postgresql user=handover dbname=handover\"
# password = \"keys/database.txt\"             # a file
# authority = \"tls/database-authority.pem\"   # needed where the server is on another machine
# Large contents lie in `store`, or in a folder that all machines see, or in an S3 storage:
# [blobs]
# folder = \"/srv/contents\"
# [blobs.s3]
# endpoint = \"https://storage.example.org\"    # none: Amazon's own
# region = \"us-east-1\"
# bucket = \"contents\"                         # it must exist
# prefix = \"handover\"
# credentials = \"keys/storage.ini\"            # aws_access_key_id = …; none: the environment
# authority = \"tls/storage-authority.pem\"     # none: those the machine trusts
",
        name = quoted(&new.name),
        title = quoted(&new.title),
        namespace = quoted(&public.namespace),
        listen = quoted(&new.listen.to_string()),
        base_url = quoted(&public.base_url),
    )
}

/// The tables of a provider's house.
const PROVIDERS_TABLES: &str = "\
# What must not travel, whatever an agreement says. Where the table comes from another system, say so
# instead, behind all lines without a heading:
# [restrictions]
# table = \"restrictions.toml\"
# feed = \"feeds\"          # the file or folder it writes: dates a table without as_of
# max_age_hours = 26      # beyond that nothing is sent
restrictions = \"restrictions.toml\"
# Which payor of the charts leads to which partner.
payors = \"payors.toml\"
# By what directories know the payers, where their public files do not say it.
payers = \"payers.toml\"
";

/// The members of a plan, and by what charts name it.
fn payers_tables(new: &NewHouse) -> String {
    let mut text = "\
# The plan's members: member_id,family,given,birth_date,gender.
members = \"members.csv\"
"
    .to_owned();
    for identifier in &new.payer_identifiers {
        text.push_str(&format!(
            "\n# By this a Coverage's payor names the plan.\n[[payer_identifiers]]\nsystem = {}\nvalue = {}\n",
            quoted(&identifier.system),
            quoted(&identifier.value),
        ));
    }
    text.push_str(READERS);
    text
}

const READERS: &str = "
# Platforms of the plan's own that read what all partners have filed: by $export, search and read. They
# sign in by SMART Backend Services with keys of their own, and write nothing.
# [[reader]]
# client_id = \"platform\"
# jwks = \"readers/platform.json\"       # its public keys, a JWK Set; or where it publishes them:
# jwks_url = \"https://platform.example/jwks.json\"
# authority = \"readers/platform.pem\"   # of the certificate there
# scopes = [\"system/*.rs\"]             # this, where none are named
";

/// Certificates and keys.
const HOUSE_KEYS: &str = "
# A running house takes up a renewed certificate by itself; `handover keys rotate server` renews it.
[tls]
certificate = \"tls/server.pem\"
key = \"tls/server-key.pem\"
authority = \"tls/authority.pem\"
# Presented to partners who ask for a certificate. Our public.json names its authority and the name in
# it: tokens that are got with it are of no use without it. `sign_in = mtls` in both public files
# signs in by it alone; `required` in `client_certificate` gives no token without it.
client_certificate = \"tls/client.pem\"
client_key = \"tls/client-key.pem\"
client_crls = []            # files of revoked client certificates of partners (CRL, PEM)

[keys]
# `handover keys list` says how old they are, `handover keys rotate USE` changes them without a stop.
# Signs this house's client assertions (ES384); partners know its public half.
signing = \"keys/signing.pem\"
# Signs the ledger's checkpoints (Ed25519).
ledger = \"keys/ledger.pem\"
# MAC key of the access tokens this house issues.
tokens = \"keys/tokens.hex\"
# The command line signs in to the running house with it.
operator = \"keys/operator.pem\"
# Public keys (hex) that signed the ledger before this one, and sign no more.
retired = []

# Trust communities (UDAP, FAST Security). A payer with it takes registrations; a provider signs in so
# at payers whose public file says sign_in = \"udap\" and names the community. `handover community new`
# founds one between houses that know each other, `handover community join` writes this table.
# [udap]
# organization_id = \"https://www.example.org\"   # as the communities want it
# contacts = [\"mailto:it@example.org\"]
# [[udap.community]]
# uri = \"https://community.example\"             # as it names itself
# anchors = \"tls/community.pem\"
# revoked = [\"tls/community.crl\"]               # lists of revoked certificates
# revoked_required = true                        # refuse where no list in force speaks
# certificate = \"tls/community-certificate.pem\" # a payer's names its base URL, with an RSA key
# key = \"keys/community.pem\"
";

/// Where partners' URLs may lead to.
fn network_toml(new: &NewHouse) -> String {
    let wire::RateLimits { requests, sign_ins } = wire::RateLimits::default();
    let (why, allow) = match new.listen.ip().is_loopback() {
        true => (
            "# This house and its partners are on one machine; take the loopback out where they are not.\n",
            "[\"127.0.0.0/8\", \"::1\"]",
        ),
        false => ("", "[]"),
    };
    format!(
        "
# URLs that a partner influences (its base_url and jwks_url, and what its answers name) lead to public
# addresses, and to these blocks: a leased line, a partner in the house. [source] is not among them.
{why}[network]
allow = {allow}

# How often partners may ask, each process of the house for itself; 0: no limit. What is beyond it is
# answered 429 with a time to come back, and slows nobody else.
# [limits]
# requests_per_minute = {requests}   # of one client; a sixth of them at once
# sign_ins_per_minute = {sign_ins}    # and registrations, from one address
"
    )
}

/// The EHR, and who is watched in it.
fn source_toml(new: &NewHouse) -> String {
    let base_url = new.source.as_deref().unwrap_or("https://127.0.0.1:9443/fhir");
    format!(
        "
# The EHR: a FHIR R4 server with SMART Backend Services. Register `client_id` with this house's
# public keys (jwks in public.json) there, with read and search scopes only.
[source]
base_url = {base_url}
sign_in = \"smart\"          # or \"none\": plain HTTP on this machine, without the lines below
client_id = {client_id}
key = \"keys/signing.pem\"
scope = \"system/*.rs\"
# The authority the EHR's certificate comes from.
authority = \"tls/ehr-authority.pem\"
# token_endpoint = \"https://…\"   # only where the EHR does not publish .well-known/smart-configuration

# Patients who are watched: what is finished or corrected in their charts is pushed by itself.
# [watch]
# roster = \"roster.csv\"      # a line each: a Patient id of the EHR, or a record number system|value;
#                            # read again whenever it changes
# coverage = false           # true: everybody whose coverage leads to one of the payers, beside the
#                            # roster or instead, where the EHR can be searched for all Coverages by
#                            # _lastUpdated, status or payor; `handover check` says so
# every_minutes = 15         # how often each patient is looked at
# overlap_hours = 24         # what was over so long before a patient's first look is no news
# requests_per_minute = 60   # searches at the EHR, of all processes together; 0: no limit
# population = false         # true: an EHR that can be searched by _lastUpdated alone is asked each
#                            # minute for what changed, so that those on the roster need not wait
# since = \"2026-01-01\"       # instead: for new patients, all from this day on is news

# Where payers' doors are: directories, in the order in which they are asked. Without any, it is the
# base_url of each partner's public file. An endpoint that no public file names waits until somebody
# approves it: `handover directory approve`.
# [[directory]]
# kind = \"national\"         # a FHIR API, as the National Directory has it; or \"configuration\": the
#                            # payer's davinci-configuration, \"dump\": a copy in a folder (`handover
#                            # directory import`), \"pinned\": the public files
# name = \"national\"         # as lists call it
# url = \"https://directory.example/fhir\"
# authority = \"tls/directory-authority.pem\"
# folder = \"directory\"      # of a dump
# environments = [\"prod\"]   # endpoints for others are not taken
# use_cases = [\"provider-payer-data-exchange\", \"cdex\"]   # the one liked best first
# expires_hours = 24         # then it is asked again
# missing_minutes = 60       # how long it counts that it knows none
# stale_days = 7             # how long an old answer is used while it is away
",
        base_url = quoted(base_url),
        client_id = quoted(&new.name),
    )
}
