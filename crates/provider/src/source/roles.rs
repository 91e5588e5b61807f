//! Roles: in which roles a practitioner works, and for whom.
//!
//! Comes in   a practitioner who may travel.
//! Goes out   the practitioner's PractitionerRoles, whatever the EHR made of the parameter; none where
//!            the EHR does not offer the search.
//! Never      stops a push because an EHR has no such search or lets nobody use it: the roles that
//!            records refer to are read all the same.
//!
//! US Core 6.1.0 makes `PractitionerRole?practitioner=` SHALL for servers with that type. It is no search
//! for a patient's records, and asks for one practitioner of one patient's chart at a time. What it found
//! is remembered with the chart and no longer: a role that was read for an earlier chart may be older
//! than the push says that it is.

use super::offer::Offer;
use super::{Source, us_core};
use exchange::shape::is_role_of;
use exchange::{Code, Issue};
use fhir::Resource;

const ROLE: &str = "PractitionerRole";
const BY: &str = "practitioner";

/// Whether the EHR says that it has the search. One that says nothing is not asked: it may not know
/// the type, and a role is worth no stopped push.
fn is_offered(offer: &Offer) -> bool {
    offer.has(ROLE, BY)
}

/// The roles of a practitioner.
///
/// Errors: those of the source, but not its refusal.
pub async fn of_practitioner(
    source: &dyn Source,
    practitioner: &Resource,
) -> Result<Vec<Resource>, Issue> {
    let Some(id) = practitioner.id().filter(|_| practitioner.kind() == "Practitioner") else {
        return Ok(Vec::new());
    };
    if !is_offered(&*source.offer().await?) {
        return Ok(Vec::new());
    }
    let whom = format!("Practitioner/{id}");
    let refused = match us_core::ask(source, ROLE, &[(BY, &whom)]).await {
        Ok(Some(mut found)) => {
            found.retain(|role| is_role_of(role, practitioner, source.base_url()));
            return Ok(found);
        }
        Ok(None) => "it does not take the search",
        Err(issue) if issue.code == Code::SourceRefused => "it does not let this house search",
        Err(issue) => return Err(issue),
    };
    tracing::warn!(refused, "the EHR offers roles by practitioner; none are read");
    Ok(Vec::new())
}

/// What becomes of roles, for a person: one search that finds nothing tells.
///
/// Errors: those of the source.
pub async fn told(source: &dyn Source) -> Result<String, Issue> {
    let found = match is_offered(&*source.offer().await?) {
        true => match source.try_search(ROLE, &[(BY, "Practitioner/none")]).await {
            Ok(Some(_)) => return Ok("searched for by practitioner".to_owned()),
            Ok(None) => "the EHR refuses a",
            Err(issue) if issue.code == Code::SourceRefused => "the EHR lets this house make no",
            Err(issue) => return Err(issue),
        },
        false => "the EHR does not offer a",
    };
    Ok(format!(
        "{found} search for PractitionerRole by practitioner: a role travels only where a record \
         refers to it"
    ))
}
