//! Community: a trust community that houses found between themselves, and how a house joins one.
//!
//! Comes in   a folder with the community's authority; a house's folder.
//! Goes out   that folder; a certificate in the community, a `[udap]` table that names it, and a public
//!            file that says so.
//! Never      draws a second certificate for a house that has joined, or touches what else is written in
//!            `house.toml`.
//!
//! Why: real communities have authorities of their own, whose certificates are entered in `[udap]` by
//! hand. Who tries things out, or agrees with one partner only, needs the same thing in two commands.

use crate::config::{self, read_text, unwritable, write_text};
use crate::keys::read_secret;
use clap::Subcommand;
use exchange::partner::{PublicFile, PublicUdap, Role, SignIn};
use exchange::{Code, Issue};
use jiff::Timestamp;
use std::fs;
use std::path::{Path, PathBuf};
use wire::keys;
use wire::pki::Trust;
use wire::pki::make::{self, Made};
use wire::trust::udap::Identity;

/// Where the authority's certificate lies: every member may have it.
pub const AUTHORITY: &str = "authority.pem";

/// Its key: whoever has it makes members.
const AUTHORITY_KEY: &str = "authority-key.pem";

/// The community's URI, in a file of its own.
const URI: &str = "community.uri";

/// `community`
#[derive(Debug, Subcommand)]
pub enum CommunityAsked {
    /// Found one between houses that know each other: an authority in a new folder.
    New {
        /// The new folder. Whoever has its authority-key.pem makes members.
        folder: PathBuf,
        /// The URI by which the community is known, such as <https://community.example>.
        #[arg(long)]
        uri: String,
    },
    /// Make this house a member: certificate, [udap] in house.toml, and udap in public.json. Once is
    /// enough; a running house takes it up when it is started anew. Where the community's key is
    /// elsewhere, a request for its founder is written first.
    Join {
        /// The community's folder.
        folder: PathBuf,
        /// How the house's people are reached: a mailto: URI.
        #[arg(long, value_name = "URI")]
        contact: Option<String>,
        /// The certificate that the founder made for this house's request, where authority-key.pem is
        /// elsewhere.
        #[arg(long, value_name = "FILE")]
        certificate: Option<PathBuf>,
    },
    /// The founder: make a certificate for the request of a house that joins from elsewhere.
    Admit {
        /// The community's folder.
        folder: PathBuf,
        /// The request, as `community join` wrote it.
        request: PathBuf,
        /// Where the certificate is written.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// Founds a community.
///
/// Errors: `ConfigInvalid` for a folder in use or a URI that is none; `KeyUnusable`.
pub fn found(folder: &Path, uri: &str) -> Result<(), Issue> {
    let named = uri.contains(':') && uri.bytes().all(|byte| byte.is_ascii_graphic());
    if !named || uri.len() > exchange::limits::PUBLIC_WORDS_MAX {
        let detail = "a community is known by an absolute URI of at most 200 signs";
        return Err(Issue::new(Code::ConfigInvalid, detail).at("--uri"));
    }
    if folder.read_dir().is_ok_and(|mut files| files.next().is_some()) {
        let detail = "the folder is not empty; a community is founded in a new one";
        return Err(Issue::new(Code::ConfigInvalid, detail).at(folder.display().to_string()));
    }
    fs::create_dir_all(folder).map_err(|_| unwritable(folder))?;
    let made = make::community(uri, Timestamp::now())?;
    keys::write_private(&folder.join(AUTHORITY_KEY), made.key.as_bytes())?;
    write_text(&folder.join(AUTHORITY), &made.certificate)?;
    write_text(&folder.join(URI), &format!("{uri}\n"))
}

/// What joining came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The community's URI.
    pub community: String,
    /// The house's URI in it.
    pub uri: String,
    /// How far it is.
    pub stage: Stage,
}

/// How far a house is with joining.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// A member since now.
    Member,
    /// It was one already.
    Already,
    /// This request waits for the founder.
    Asks(PathBuf),
}

/// Makes a house a member; or, where the community's key is elsewhere, writes the request for that.
///
/// Errors: `ConfigInvalid` for a folder that is no community's; `KeyUnusable` for a certificate that is
/// not the community's, or not this house's.
pub fn join(
    house: &Path,
    folder: &Path,
    contact: Option<&str>,
    certificate: Option<&Path>,
) -> Result<Joined, Issue> {
    let config = config::House::read_as_far(house)?;
    let community = read_text(&folder.join(URI))?.trim().to_owned();
    let uri = config.file.base_url.trim_end_matches('/').to_owned();
    let joined = |stage| Joined { community: community.clone(), uri: uri.clone(), stage };
    let before = config.file.udap.iter().flat_map(|udap| &udap.community);
    if before.clone().any(|one| one.uri == community) {
        publish(house, &config, &community, &uri)?;
        return Ok(joined(Stage::Already));
    }
    let members = before.count();
    // Of a second community the files are numbered.
    let number = if members == 0 { String::new() } else { format!("-{}", members + 1) };
    let files = [
        format!("tls/community{number}.pem"),
        format!("tls/community{number}-certificate.pem"),
        format!("keys/community{number}.pem"),
    ];
    let anchors = read_text(&folder.join(AUTHORITY))?;
    let key = own_key(&house.join(&files[2]))?;
    let request = make::request(&key, &config.file.name, &uri)?;
    let chain = match (certificate, folder.join(AUTHORITY_KEY).exists()) {
        (Some(place), _) => read_text(place)?,
        (None, true) => admit(folder, &request)?.0,
        (None, false) => {
            let place = house.join(format!("tls/community{number}-request.pem"));
            write_text(&place, &request)?;
            return Ok(joined(Stage::Asks(place)));
        }
    };
    check(&anchors, &chain, &key, &uri)?;
    write_text(&house.join(&files[0]), &anchors)?;
    write_text(&house.join(&files[1]), &chain)?;
    let place = house.join(config::FILE);
    let text = read_text(&place)?;
    let table = udap_table(&config, contact, &community, &files, members == 0);
    write_text(&place, &format!("{text}{table}"))?;
    publish(house, &config, &community, &uri)?;
    Ok(joined(Stage::Member))
}

/// The key that was drawn when the house first asked, else a new one.
fn own_key(place: &Path) -> Result<String, Issue> {
    if place.exists() {
        return read_secret(place).map(|key| key.to_string());
    }
    let key = make::application_key()?;
    keys::write_private(place, key.as_bytes())?;
    Ok(key)
}

/// Whether a certificate is the community's, and this house's.
fn check(anchors: &str, chain: &str, key: &str, uri: &str) -> Result<(), Issue> {
    let unfit = |detail: &str| Issue::new(Code::KeyUnusable, detail).at("certificate");
    let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes())?;
    let trust = Trust::read(anchors.as_bytes(), &[], false)?;
    trust.verify(identity.chain(), Timestamp::now()).map_err(|distrust| {
        tracing::debug!(?distrust, "membership");
        unfit("it does not come from the community's authority, or its time is over")
    })?;
    match identity.uris().iter().any(|name| name == uri) {
        true => Ok(()),
        false => Err(unfit("it names another URI than this house's base URL")),
    }
}

/// Makes a certificate for a request: the certificate, and the URIs in it.
///
/// Errors: `ConfigInvalid` where the community's key is elsewhere; `KeyUnusable`.
pub fn admit(folder: &Path, request: &str) -> Result<(String, Vec<String>), Issue> {
    let place = folder.join(AUTHORITY_KEY);
    if !place.exists() {
        let detail = "the community's key is not in this folder: its founder admits members";
        return Err(Issue::new(Code::ConfigInvalid, detail).at(place.display().to_string()));
    }
    let key = read_secret(&place)?.to_string();
    let certificate = read_text(&folder.join(AUTHORITY))?;
    make::admit(&Made { certificate, key }, request, Timestamp::now())
}

/// What is written behind all that stands in `house.toml`.
fn udap_table(
    config: &config::House,
    contact: Option<&str>,
    community: &str,
    files: &[String; 3],
    first: bool,
) -> String {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let mut text = String::new();
    if first {
        let contact = contact
            .map_or_else(|| format!("mailto:handover@{}.example", config.file.name), str::to_owned);
        text.push_str(&format!(
            "\n[udap]\norganization_id = {}\ncontacts = [{}]\n",
            quoted(&config.file.namespace),
            quoted(&contact)
        ));
    }
    let [anchors, certificate, key] = files;
    text.push_str(&format!(
        "\n[[udap.community]]\nuri = {}\nanchors = {}\ncertificate = {}\nkey = {}\n",
        quoted(community),
        quoted(anchors),
        quoted(certificate),
        quoted(key)
    ));
    text
}

/// Says in the public file what the house is in its first community: a payer that it is signed in at so.
fn publish(house: &Path, config: &config::House, community: &str, uri: &str) -> Result<(), Issue> {
    let place = house.join("public.json");
    let text = read_text(&place)?;
    let mut public = PublicFile::parse(&text, &place.display().to_string())?;
    if public.udap.is_some() {
        return Ok(());
    }
    public.udap = Some(PublicUdap { uri: uri.to_owned(), community: community.to_owned() });
    if config.file.role == Role::Payer {
        public.sign_in = Some(SignIn::Udap);
    }
    let text = serde_json::to_string_pretty(&public).unwrap_or_default();
    write_text(&place, &(text + "\n"))
}
