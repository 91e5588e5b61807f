//! Registration: a client that asked to sign in by UDAP, and what was decided; and the other way
//! round, what this house is registered as at a partner's door.
//!
//! Comes in   their lines of the house's chain, in their order.
//! Goes out   where each stands.
//! Never      a state that no line explains, or a registration that stands without a partner.

use crate::id::{Digest, PartnerId};
use crate::ledger::Event;
use serde::{Deserialize, Serialize};

/// A client of this house's doors: a projection of its lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The id it signs in with, made of its community and URI.
    pub client: String,
    /// What it said of itself when it last registered.
    pub said: Said,
    /// Where it stands.
    pub state: RegistrationState,
}

/// What a client says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The community whose certificate it has.
    pub community: String,
    /// Its URI there.
    pub uri: String,
    /// Its name in words.
    pub name: String,
    /// How its people are reached.
    pub contacts: Vec<String>,
    /// The scopes it wants to ask for.
    pub scope: String,
    /// Its certificate: DER in base64.
    pub certificate: String,
}

/// Where a registration stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum RegistrationState {
    /// A person must decide.
    Waiting,
    /// It is this partner's.
    Standing {
        /// The partner.
        partner: PartnerId,
        /// The partner's file names it; where the file does so no more, it does not stand any more.
        /// Else a person decided.
        named: bool,
    },
    /// A person said no.
    Refused,
    /// It cancelled itself.
    Cancelled,
}

impl Registration {
    /// The id of whoever is this URI in this community: the same whenever it registers.
    pub fn client_of(community: &str, uri: &str) -> String {
        let digest = Digest::of_pieces([b"udap client", community.as_bytes(), uri.as_bytes()]);
        format!("udap-{}", &digest.to_string()[..32])
    }

    /// The registration that a first `RegistrationAsked` makes.
    pub fn begin(event: &Event) -> Option<Registration> {
        let Event::RegistrationAsked { client, said, .. } = event.clone() else { return None };
        let mut made = Registration { client, said, state: RegistrationState::Waiting };
        made.apply(event);
        Some(made)
    }

    /// Takes one line into account.
    pub fn apply(&mut self, event: &Event) {
        match event.clone() {
            Event::RegistrationAsked { said, partner, .. } => {
                self.said = said;
                self.state = match (partner, &self.state) {
                    // What a person decided holds, whatever the client says of itself.
                    (_, RegistrationState::Refused) => RegistrationState::Refused,
                    (Some(partner), _) => RegistrationState::Standing { partner, named: true },
                    (None, RegistrationState::Standing { named: false, .. }) => self.state.clone(),
                    (None, _) => RegistrationState::Waiting,
                };
            }
            Event::RegistrationApproved { partner, .. } => {
                self.state = RegistrationState::Standing { partner, named: false };
            }
            Event::RegistrationRefused { .. } => self.state = RegistrationState::Refused,
            Event::RegistrationCancelled { .. } => self.state = RegistrationState::Cancelled,
            _ => {}
        }
    }

    /// The word for lists.
    pub fn state_word(&self) -> &'static str {
        match self.state {
            RegistrationState::Waiting => "registration-waits",
            RegistrationState::Standing { .. } => "registered",
            RegistrationState::Refused => "registration-refused",
            RegistrationState::Cancelled => "registration-cancelled",
        }
    }
}

/// What this house is registered as at a server: a projection of its lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredAt {
    /// Where it registered.
    pub endpoint: String,
    /// In which community.
    pub community: String,
    /// The id the server gave; none where it is registered no more.
    pub client: Option<String>,
    /// A digest of what it said of itself.
    pub said: Digest,
}

impl RegisteredAt {
    /// The row of work of a registration there.
    pub fn row_of(endpoint: &str, community: &str) -> String {
        let pieces = [b"registered at".as_slice(), community.as_bytes(), endpoint.as_bytes()];
        format!("registered-at-{}", &Digest::of_pieces(pieces).to_string()[..32])
    }

    /// What a line makes of it.
    pub fn of(event: &Event) -> Option<RegisteredAt> {
        let Event::RegisteredAt { endpoint, community, client, said } = event.clone() else {
            return None;
        };
        Some(RegisteredAt { endpoint, community, client, said })
    }

    /// The word for lists.
    pub fn state_word(&self) -> &'static str {
        match self.client {
            Some(_) => "registered-at",
            None => "registered-no-more",
        }
    }
}

#[cfg(test)]
mod tests {
    //! Goal: nobody stands without a partner, and what a person decided holds.

    use super::*;
    use crate::ledger::Who;

    fn said(name: &str) -> Said {
        Said {
            community: "urn:c".into(),
            uri: "https://a.example".into(),
            name: name.into(),
            contacts: Vec::new(),
            scope: "system/*.cruds".into(),
            certificate: String::new(),
        }
    }

    fn asked(partner: Option<&str>) -> Event {
        let partner = partner.map(PartnerId::from);
        Event::RegistrationAsked { client: "udap-1".into(), said: said("A"), partner }
    }

    #[test]
    fn lines_add_up_to_one_state() {
        let who = || Who { name: "a".into(), role: "staff".into(), why: "known".into() };
        let client = || "udap-1".to_owned();
        let approved = || Event::RegistrationApproved {
            client: client(),
            partner: "clinic".into(),
            who: who(),
        };
        let refused = || Event::RegistrationRefused { client: client(), who: who() };
        let cancelled = || Event::RegistrationCancelled { client: client() };
        let table = [
            ("a stranger waits", vec![asked(None)], "registration-waits"),
            ("a named one stands", vec![asked(Some("clinic"))], "registered"),
            ("approved", vec![asked(None), approved()], "registered"),
            ("approved, changed", vec![asked(None), approved(), asked(None)], "registered"),
            ("named no more", vec![asked(Some("clinic")), asked(None)], "registration-waits"),
            ("refused", vec![asked(None), refused()], "registration-refused"),
            (
                "refused, asks again",
                vec![asked(None), refused(), asked(None)],
                "registration-refused",
            ),
            (
                "refused, and named by a file",
                vec![asked(Some("clinic")), refused(), asked(Some("clinic"))],
                "registration-refused",
            ),
            (
                "refused, then approved",
                vec![asked(None), refused(), approved(), asked(None)],
                "registered",
            ),
            ("cancelled", vec![asked(Some("clinic")), cancelled()], "registration-cancelled"),
            (
                "cancelled after a person's word, asks again",
                vec![asked(None), approved(), cancelled(), asked(None)],
                "registration-waits",
            ),
        ];
        for (case, events, state) in table {
            let mut events = events.iter();
            let mut made = events.next().and_then(Registration::begin).expect(case);
            events.for_each(|event| made.apply(event));
            assert_eq!(made.state_word(), state, "{case}");
        }
    }
}
