//! Communities: the `[udap]` table of house.toml, and what becomes of it.
//!
//! Comes in   the table, and the files it names.
//! Goes out   communities for the gate and for clients; what this house says of itself in them.
//! Never      makes up an identity: a community without certificate and key is an error.

use crate::config::{self, CommunityFile};
use crate::keys::pair;
use exchange::partner::Role;
use exchange::{Code, Issue};
use std::path::Path;
use std::sync::Arc;
use wire::pki::Trust;
use wire::trust::udap::{
    ClientIds, Community, Identity, Membership, Organization, Registered, Software, Udap,
    UdapClient,
};
use wire::{BoxFuture, Clock, Replay};

/// Reads the communities of a house; none without `[udap]`.
///
/// Errors: `ConfigInvalid`, `KeyUnusable`.
pub fn read(config: &config::House) -> Result<Vec<Community>, Issue> {
    let Some(file) = &config.file.udap else { return Ok(Vec::new()) };
    file.community.iter().map(|community| read_one(config, community)).collect()
}

/// Gives communities what their files hold now, all of them or none.
///
/// Errors: as `read`; also `KeyUnusable` for what a receiving house could not serve with.
pub fn renew(config: &config::House, communities: &[Community]) -> Result<(), Issue> {
    let files = config.file.udap.iter().flat_map(|udap| &udap.community);
    let mut renewed = Vec::new();
    for (community, file) in communities.iter().zip(files) {
        let membership = membership(config, file)?;
        if config.file.role == Role::Payer {
            let serves = membership.identity.serves(&config.file.base_url);
            serves.map_err(|issue| issue.at(file.certificate.display().to_string()))?;
        }
        renewed.push((community, membership));
    }
    for (community, membership) in renewed {
        community.replace(membership);
    }
    Ok(())
}

fn read_one(config: &config::House, file: &CommunityFile) -> Result<Community, Issue> {
    Ok(Community::new(&file.uri, membership(config, file)?))
}

/// Whom a community trusts, and what this house is in it.
///
/// Errors: `ConfigInvalid`, `KeyUnusable`.
pub fn membership(config: &config::House, file: &CommunityFile) -> Result<Membership, Issue> {
    let lists = file.revoked.iter().map(|path| bytes(config, path));
    let lists = lists.collect::<Result<Vec<_>, _>>()?;
    let place = |path: &Path| path.display().to_string();
    let trust = Trust::read(&bytes(config, &file.anchors)?, &lists, file.revoked_required)
        .map_err(|issue| issue.at(place(&file.anchors)))?;
    let (chain, key) = pair(config, &file.certificate, &file.key)?;
    let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes());
    let identity = identity.map_err(|issue| issue.at(place(&file.key)))?;
    Ok(Membership { trust: Arc::new(trust), identity: Arc::new(identity) })
}

/// A file of a community. Errors: `ConfigInvalid`.
pub fn bytes(config: &config::House, path: &Path) -> Result<Vec<u8>, Issue> {
    std::fs::read(config.path(path)).map_err(|_| {
        Issue::new(Code::ConfigInvalid, "a file cannot be read").at(path.display().to_string())
    })
}

/// The UDAP workflows of a receiving house; none without `[udap]`.
///
/// Errors: `ConfigInvalid`, `KeyUnusable`.
pub fn door(
    config: &config::House,
    communities: Vec<Community>,
    registrations: Arc<payer::registrations::Registrations>,
    replay: Arc<dyn Replay>,
    clock: Arc<dyn Clock>,
) -> Result<Option<Arc<Udap>>, Issue> {
    if communities.is_empty() {
        return Ok(None);
    }
    let udap = Udap::new(&config.file.base_url, communities, registrations, replay, clock)?;
    Ok(Some(Arc::new(udap)))
}

/// The first of this house's communities in which a door offers what a sign-in by UDAP needs; or why
/// there is none.
///
/// Errors: `ConfigInvalid`, `KeyUnusable`, for what this house says of its communities.
pub async fn shared(
    config: &config::House,
    base_url: &str,
    transport: &Arc<dyn wire::Transport>,
    clock: &Arc<dyn Clock>,
) -> Result<Result<String, String>, Issue> {
    let mut why = "this house is in no community ([udap] in house.toml)".to_owned();
    for community in read(config)? {
        let uri = community.uri.clone();
        match looking(config, base_url, community, transport, clock)?.server_names().await {
            Ok(_) => return Ok(Ok(uri)),
            Err(error) => why = format!("{uri}: {error}"),
        }
    }
    Ok(Err(why))
}

/// A client that looks at a door's metadata in a community, and registers nowhere.
///
/// Errors: `ConfigInvalid`.
pub fn looking(
    config: &config::House,
    base_url: &str,
    community: Community,
    transport: &Arc<dyn wire::Transport>,
    clock: &Arc<dyn Clock>,
) -> Result<UdapClient, Issue> {
    Ok(UdapClient::new(
        Arc::clone(transport),
        base_url,
        community,
        software_of(config, String::new(), String::new())?,
        Arc::new(NoIds),
        Arc::clone(clock),
    ))
}

/// What this house says of itself where it registers.
pub fn software_of(config: &config::House, uri: String, scope: String) -> Result<Software, Issue> {
    let missing = || Issue::new(Code::ConfigInvalid, "[udap] is missing").at("house.toml: udap");
    let file = config.file.udap.as_ref().ok_or_else(missing)?;
    let name = file.organization_name.clone().unwrap_or_else(|| config.file.title.clone());
    Ok(Software {
        uri,
        name: format!("Handover of {name}"),
        contacts: file.contacts.clone(),
        scope,
        organization: Organization { id: file.organization_id.clone(), name },
    })
}

/// For who only looks, and registers nowhere.
struct NoIds;

impl ClientIds for NoIds {
    fn known<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Option<Registered>, Issue>> {
        Box::pin(async { Ok(None) })
    }

    fn keep<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: Option<Registered>,
    ) -> BoxFuture<'a, Result<(), Issue>> {
        Box::pin(async { Ok(()) })
    }
}
