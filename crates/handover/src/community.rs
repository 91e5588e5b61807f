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
use wire::pki::make::{self, Made};

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
    /// enough; a running house takes it up when it is started anew.
    Join {
        /// The community's folder.
        folder: PathBuf,
        /// How the house's people are reached: a mailto: URI.
        #[arg(long, value_name = "URI")]
        contact: Option<String>,
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
    /// It was a member already.
    pub already: bool,
}

/// Makes a house a member.
///
/// Errors: `ConfigInvalid` for a folder that is no community's, or whose key is elsewhere;
/// `KeyUnusable`.
pub fn join(house: &Path, folder: &Path, contact: Option<&str>) -> Result<Joined, Issue> {
    let config = config::House::read_as_far(house)?;
    let community = read_text(&folder.join(URI))?.trim().to_owned();
    let uri = config.file.base_url.trim_end_matches('/').to_owned();
    let joined = config.file.udap.iter().flat_map(|udap| &udap.community);
    let members = joined.clone().count();
    let already = joined.clone().any(|one| one.uri == community);
    if !already {
        let certificate = read_text(&folder.join(AUTHORITY))?;
        let authority = Made { key: authority_key(folder)?, certificate };
        let member = make::application(
            &authority,
            &config.file.name,
            std::slice::from_ref(&uri),
            Timestamp::now(),
        )?;
        // Of a second community the files are numbered.
        let number = if members == 0 { String::new() } else { format!("-{}", members + 1) };
        let files = [
            format!("tls/community{number}.pem"),
            format!("tls/community{number}-certificate.pem"),
            format!("keys/community{number}.pem"),
        ];
        write_text(&house.join(&files[0]), &authority.certificate)?;
        write_text(&house.join(&files[1]), &member.certificate)?;
        keys::write_private(&house.join(&files[2]), member.key.as_bytes())?;
        let place = house.join(config::FILE);
        let text = read_text(&place)?;
        let table = udap_table(&config, contact, &community, &files, members == 0);
        write_text(&place, &format!("{text}{table}"))?;
    }
    publish(house, &config, &community, &uri)?;
    Ok(Joined { community, uri, already })
}

fn authority_key(folder: &Path) -> Result<String, Issue> {
    let place = folder.join(AUTHORITY_KEY);
    if !place.exists() {
        let detail = "the community's key is not in this folder: whoever founded the community makes \
                      members; a certificate from elsewhere is entered under [udap] in house.toml";
        return Err(Issue::new(Code::ConfigInvalid, detail).at(place.display().to_string()));
    }
    read_secret(&place).map(|key| key.to_string())
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
