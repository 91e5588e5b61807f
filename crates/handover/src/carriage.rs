//! Carriage: how a house reaches its partners, wherever a directory says that their doors are.
//!
//! Comes in   a partner's public file; a base URL that was found and vouched for.
//! Goes out   a client for that base URL: this house's credential there, the authority of the public file.
//! Never      trusts another authority because a directory named it.

mod registered;

use crate::doors::{PUSH_SCOPE, partner_transport};
use crate::live::{Line, Live};
use crate::{communities, config, limits};
use exchange::partner::{Foreign, PublicFile, SignIn};
use exchange::{Code, Issue};
use provider::Carriage;
use registered::StoredIds;
use std::sync::{Arc, Mutex, PoisonError};
use store::AnyHouse;
use wire::trust::udap::UdapClient;
use wire::{FhirClient, SmartClient};

/// The doors of one partner.
pub struct PartnerDoors {
    live: Arc<Live>,
    config: Arc<config::House>,
    memory: AnyHouse,
    public: PublicFile,
    made: Mutex<Vec<Arc<FhirClient>>>,
}

impl PartnerDoors {
    /// Of a partner.
    pub fn new(
        live: &Arc<Live>,
        config: &Arc<config::House>,
        memory: &AnyHouse,
        public: &PublicFile,
    ) -> PartnerDoors {
        PartnerDoors {
            live: Arc::clone(live),
            config: Arc::clone(config),
            memory: memory.clone(),
            public: public.clone(),
            made: Mutex::default(),
        }
    }
}

impl Carriage for PartnerDoors {
    fn client(&self, base_url: &str) -> Result<Arc<FhirClient>, Issue> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = made.iter().find(|it| it.base_url() == base_url) {
            return Ok(Arc::clone(client));
        }
        let public = PublicFile { base_url: base_url.to_owned(), ..self.public.clone() };
        let client = Arc::new(partner_client(&self.live, &self.config, &self.memory, &public)?);
        if made.len() >= limits::PARTNER_DOORS_MAX {
            made.remove(0);
        }
        made.push(Arc::clone(&client));
        Ok(client)
    }
}

/// A client for a partner's door, signed in with this house's key there.
pub fn partner_client(
    live: &Live,
    config: &config::House,
    memory: &AnyHouse,
    public: &PublicFile,
) -> Result<FhirClient, Issue> {
    let transport = live.line(&public.name, partner_transport(config, public)?);
    if public.signs_in() == SignIn::Udap {
        let scope = public.foreign.as_ref().and_then(|foreign| foreign.scope.clone());
        let scope = scope.unwrap_or_else(|| push_scope(config, public));
        return udap_client(live, config, memory, public, scope, transport);
    }
    if let Some(foreign) = &public.foreign {
        return foreign_client(live, config, public, foreign, transport);
    }
    if public.sign_in == Some(SignIn::Mtls) {
        return Ok(FhirClient::new(&public.base_url, transport, None));
    }
    let sign_in = SmartClient::signing(
        Arc::clone(&transport) as _,
        &public.base_url,
        &config.file.name,
        live.ring(&config.file.keys.signing)?,
        push_scope(config, public),
        Arc::clone(&live.clock),
    );
    Ok(FhirClient::new(&public.base_url, transport, Some(sign_in)))
}

/// The scopes that are asked for: to push, and, where that is agreed, to tell of bulk submissions.
fn push_scope(config: &config::House, public: &PublicFile) -> String {
    let terms = config.terms.get(&public.name);
    match terms.is_some_and(|terms| terms.agreement.bulk.is_some()) {
        true => format!("{PUSH_SCOPE} {}", exchange::bulk::SCOPE),
        false => PUSH_SCOPE.to_owned(),
    }
}

/// A client for a server of another make.
fn foreign_client(
    live: &Live,
    config: &config::House,
    public: &PublicFile,
    foreign: &Foreign,
    transport: Arc<Line>,
) -> Result<FhirClient, Issue> {
    if foreign.sign_in != SignIn::Smart {
        return Ok(FhirClient::new(&public.base_url, transport, None));
    }
    let mut sign_in = SmartClient::signing(
        Arc::clone(&transport) as _,
        &public.base_url,
        foreign.client_id.as_deref().unwrap_or(&config.file.name),
        live.ring(&config.file.keys.signing)?,
        foreign.scope.clone().unwrap_or_else(|| push_scope(config, public)),
        Arc::clone(&live.clock),
    );
    if let Some(endpoint) = &foreign.token_endpoint {
        sign_in = sign_in.with_token_endpoint(endpoint)?;
    }
    Ok(FhirClient::new(&public.base_url, transport, Some(sign_in)))
}

/// A client for a partner's door that signs in by UDAP.
///
/// Errors: `ConfigInvalid` without the partner's community; `KeyUnusable`.
fn udap_client(
    live: &Live,
    config: &config::House,
    memory: &AnyHouse,
    public: &PublicFile,
    scope: String,
    transport: Arc<Line>,
) -> Result<FhirClient, Issue> {
    let invalid = |detail: &str| {
        Issue::new(Code::ConfigInvalid, detail).at(format!("house.toml: udap, for {}", public.name))
    };
    if config.file.udap.is_none() {
        return Err(invalid("a partner is signed in at by UDAP, and [udap] is missing"));
    }
    let wanted = public.udap.as_ref().map(|udap| udap.community.as_str()).unwrap_or_default();
    let community = live.communities()?.into_iter().find(|community| community.uri == wanted);
    let community =
        community.ok_or_else(|| invalid("the partner's community is not among this house's"))?;
    let uri = community.identity().uris().into_iter().next();
    let uri = uri.ok_or_else(|| invalid("this house's certificate there has no URI"))?;
    let software = communities::software_of(config, uri, scope)?;
    let ids = Arc::new(StoredIds { house: memory.clone(), clock: Arc::clone(&live.clock) });
    let sign_in = UdapClient::new(
        Arc::clone(&transport) as _,
        &public.base_url,
        community,
        software,
        ids,
        Arc::clone(&live.clock),
    );
    Ok(FhirClient::signed_by(&public.base_url, transport, Some(Arc::new(sign_in))))
}
