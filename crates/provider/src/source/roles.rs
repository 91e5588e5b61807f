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

/// Whether to ask: the EHR says that it has the search, or says nothing at all of what it has.
fn is_asked(offer: &Offer) -> bool {
    offer.has(ROLE, BY) || offer.is_silent()
}

/// One search; or why there is no answer to count on. What an EHR has promised and then breaks off stops
/// a push as everywhere; one that has promised nothing may not know the type, and a role is worth no
/// stopped push.
async fn ask(
    source: &dyn Source,
    whom: &str,
) -> Result<Result<Vec<Resource>, &'static str>, Issue> {
    let promised = source.offer().await?.has(ROLE, BY);
    Ok(match us_core::ask(source, ROLE, &[(BY, whom)]).await {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err("the EHR refuses a"),
        Err(issue) if issue.code == Code::SourceRefused => Err("the EHR lets this house make no"),
        Err(issue) if issue.code == Code::SourceUnreadable && !promised => {
            Err("the EHR answers nothing readable to a")
        }
        Err(issue) => return Err(issue),
    })
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
    if !is_asked(&*source.offer().await?) {
        return Ok(Vec::new());
    }
    match ask(source, &format!("Practitioner/{id}")).await? {
        Ok(mut found) => {
            found.retain(|role| is_role_of(role, practitioner, source.base_url()));
            Ok(found)
        }
        Err(refused) => {
            tracing::warn!("{refused} search for roles by practitioner; none are read");
            Ok(Vec::new())
        }
    }
}

/// What becomes of roles, for a person: one search that finds nothing tells.
///
/// Errors: those of the source.
pub async fn told(source: &dyn Source) -> Result<String, Issue> {
    let found = match is_asked(&*source.offer().await?) {
        true => match ask(source, "Practitioner/none").await? {
            Ok(_) => return Ok("searched for by practitioner".to_owned()),
            Err(refused) => refused,
        },
        false => "the EHR does not offer a",
    };
    Ok(format!(
        "{found} search for PractitionerRole by practitioner: a role travels only where a record \
         refers to it"
    ))
}
