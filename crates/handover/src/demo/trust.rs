//! Trust: by which road each hospital of the demo proves to each plan who it is.
//!
//! Comes in   houses' folders, before they are opened; running houses, after they have pushed.
//! Goes out   a community with its members, partners' files that name the road; a line for each road.
//! Never      tells of a road that was not taken: registrations are asked of the plan.

use super::houses::{Houses, Running};
use super::teller::Teller;
use crate::caller::ask;
use crate::community;
use crate::config::{read_text, write_text};
use exchange::Issue;
use exchange::desk::{Command, RegistrationCommand, Reply};
use exchange::partner::{PublicFile, SignIn};
use serde_json::Value;
use std::path::Path;

/// The community that the demo founds.
const COMMUNITY: &str = "https://community.example";

/// Where a house publishes its keys, below its base URL.
const KEYS: &str = ".well-known/jwks.json";

/// How a hospital signs in at a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Road {
    /// It registers by itself, in a community that both belong to.
    Udap,
    /// By a key that the plan fetches from the hospital.
    KeyUrl,
    /// By the certificate of its connection.
    Certificate,
}

impl Road {
    /// Of a hospital and a plan, by their places in the scene.
    pub(super) fn of(hospital: usize, plan: usize) -> Road {
        match (hospital, plan) {
            (_, 0) => Road::Udap,
            (0, _) => Road::KeyUrl,
            _ => Road::Certificate,
        }
    }
}

/// Founds the community and makes these houses its members.
pub(super) fn found<'a>(
    folder: &Path,
    members: impl Iterator<Item = &'a Path>,
) -> Result<(), Issue> {
    community::found(folder, COMMUNITY)?;
    for house in members {
        community::join(house, folder, None, None)?;
    }
    Ok(())
}

/// Writes into both houses' files of each other how the hospital signs in.
pub(super) fn agree(road: Road, hospital: &Path, plan: &Path) -> Result<(), Issue> {
    let name = |house: &Path| house.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (at_hospital, at_plan) = (
        hospital.join(format!("partners/{}.json", name(plan))),
        plan.join(format!("partners/{}.json", name(hospital))),
    );
    match road {
        // Their public files say it since both joined.
        Road::Udap => Ok(()),
        Road::KeyUrl => amend(&at_plan, |public| {
            public.jwks = Value::Null;
            public.jwks_url = format!("{}/{KEYS}", public.base_url);
        }),
        Road::Certificate => {
            amend(&at_hospital, |public| public.sign_in = Some(SignIn::Mtls))?;
            amend(&at_plan, |public| {
                public.jwks = Value::Null;
                public.sign_in = Some(SignIn::Mtls);
            })
        }
    }
}

fn amend(place: &Path, change: impl FnOnce(&mut PublicFile)) -> Result<(), Issue> {
    let mut public = PublicFile::parse(&read_text(place)?, &place.display().to_string())?;
    change(&mut public);
    let text = serde_json::to_string_pretty(&public).unwrap_or_default();
    write_text(place, &(text + "\n"))
}

/// Tells by which road who came.
pub(super) async fn told(teller: &mut Teller, houses: &Houses) -> Result<(), Issue> {
    teller.heading("How the hospitals proved who they are");
    let mut taken = 0;
    for (number, plan) in houses.plans.iter().enumerate() {
        let standing = match number {
            0 => registered(plan).await?,
            _ => 0,
        };
        teller.put(&[format!("  To {}:", plan.title)]);
        for (place, hospital) in houses.hospitals.iter().enumerate() {
            let road = Road::of(place, number);
            taken += 1;
            match road {
                Road::Udap if place > 0 => continue,
                Road::Udap => {
                    let (many, who) = match standing {
                        1 => ("hospital has", "itself"),
                        _ => ("hospitals have", "themselves"),
                    };
                    teller.put(&[
                        format!(
                            "    UDAP: {standing} {many} registered by {who}, with certificates of a \
                             community"
                        ),
                        "    that the demo founded; each token serves the purpose it was asked for, and \
                         no other."
                            .to_owned(),
                    ]);
                }
                Road::KeyUrl => teller.put(&[
                    format!("    SMART Backend Services: {} signs by a key that the plan", hospital.title),
                    format!("    fetched from {}/{KEYS}", hospital.config.file.base_url),
                ]),
                Road::Certificate => teller.put(&[
                    format!("    Mutual TLS: {} came with the certificate of its", hospital.title),
                    "    connection, from the authority that `init` made for it; no token is asked for."
                        .to_owned(),
                ]),
            }
        }
        if number == 0 {
            teller.fact("registered_by_udap", standing);
        }
    }
    teller.fact("roads_of_trust", taken);
    Ok(())
}

/// How many clients may sign in at a plan since they registered.
async fn registered(plan: &Running) -> Result<usize, Issue> {
    let command = Command::Registration(RegistrationCommand::List {});
    let Reply::Registrations(told) = ask(&plan.client, &command).await? else { return Ok(0) };
    Ok(told.rows.iter().filter(|row| row.state == "registered" && row.partner.is_some()).count())
}
