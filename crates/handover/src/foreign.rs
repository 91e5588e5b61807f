//! Foreign: a payer that is none of ours, to try deliveries out with.
//!
//! Comes in   a profile, faults by the number of a request, the public files of gateways.
//! Goes out   a running FHIR server; at its end, `arrived.json`: what came, and what came twice.
//! Never      anything real: it keeps everything in memory and forgets it when it stops.

use crate::args::SimPayerArgs;
use crate::config::{read_text, unwritable, write_text};
use crate::ehr::{AUTHORITY, certificate, listen};
use crate::serve::asked_to_stop;
use exchange::partner::PublicFile;
use exchange::{Code, Digest, Issue};
use serde_json::{Value, json};
use sim::payer::{Arrived, ForeignPayer, PayerPlan, Profile, Schedule};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use wire::{Credential, SigningKey, SystemClock};

/// The file that says what has arrived.
pub const ARRIVED: &str = "arrived.json";

/// Runs a foreign payer until told to stop.
pub async fn serve(args: SimPayerArgs) -> Result<(), Issue> {
    let unknown = || {
        let names = Profile::ALL.map(Profile::name).join(", ");
        Issue::new(Code::CommandInvalid, format!("profiles are {names}")).at("--profile")
    };
    let profile = Profile::named(&args.profile).ok_or_else(unknown)?;
    fs::create_dir_all(&args.folder).map_err(|_| unwritable(&args.folder))?;
    let clients = args.clients.iter().map(|file| {
        let public = PublicFile::parse(&read_text(file)?, &file.display().to_string())?;
        Ok(Credential {
            client_id: public.client_id,
            partner: public.name.to_string(),
            jwks: public.jwks,
            scopes: vec!["system/*.cruds".to_owned()],
        })
    });
    let clients = clients.collect::<Result<Vec<Credential>, Issue>>()?;
    let listener = listen(args.listen).await?;
    let payer = start(&args.folder, profile, Schedule(args.faults), clients, listener)?;
    println!("ready {}", payer.base_url());
    std::io::stdout().flush().ok();
    asked_to_stop(args.tethered).await;
    let arrived = payer.arrived();
    payer.stop().await;
    write_text(&args.folder.join(ARRIVED), &format!("{:#}\n", told(&arrived)))
}

/// Starts a foreign payer: with TLS and sign-in where there are clients, else without both.
pub fn start(
    folder: &Path,
    profile: Profile,
    schedule: Schedule,
    clients: Vec<Credential>,
    listener: tokio::net::TcpListener,
) -> Result<ForeignPayer, Issue> {
    let name = format!("{} payer", profile.name());
    let pair = match clients.is_empty() {
        true => None,
        false => Some(certificate(folder, &name)?),
    };
    let sign_in = match clients.is_empty() {
        true => None,
        false => Some((clients, Digest::of(SigningKey::generate()?.to_pem().as_bytes()).0)),
    };
    let plan = PayerPlan {
        abilities: profile.abilities(),
        schedule,
        sign_in,
        tls: pair.as_ref().map(|(chain, key)| (chain.as_bytes(), key.as_bytes())),
        clock: Arc::new(SystemClock),
    };
    tracing::info!(authority = AUTHORITY, tls = pair.is_some(), "a foreign payer opens");
    ForeignPayer::start(plan, listener)
}

/// What arrived, without any content.
fn told(arrived: &Arrived) -> Value {
    let requests = arrived.requests.iter().map(|one| {
        json!({
            "request": format!("{} {}", one.method, one.path),
            "status": one.status,
            "fault": one.fault.map(|fault| fault.name()),
            "body": one.body.map(|digest| digest.to_string()),
        })
    });
    let versions = arrived.records.iter().map(|(name, list)| (name.clone(), json!(list.len())));
    json!({
        "requests": requests.collect::<Vec<_>>(),
        "versions": versions.collect::<serde_json::Map<_, _>>(),
        "twins": arrived.twins,
        "idle_versions": arrived.idle,
        "dangling": arrived.dangling,
    })
}
