//! Carriage: how a house reaches its partners, wherever a directory says that their doors are.
//!
//! Comes in   a partner's public file; a base URL that was found and vouched for.
//! Goes out   a client for that base URL: this house's credential there, the authority of the public file.
//! Never      trusts another authority because a directory named it.

use crate::house::partner_client;
use crate::keys::Live;
use crate::{config, limits};
use exchange::Issue;
use exchange::partner::PublicFile;
use provider::Carriage;
use std::sync::{Arc, Mutex, PoisonError};
use store::AnyHouse;
use wire::FhirClient;

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
