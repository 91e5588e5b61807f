//! Foreign: a payer that is none of ours, to try deliveries out with.
//!
//! Comes in   a profile, faults by the number of a request, the public files of gateways.
//! Goes out   a running FHIR server, and the file by which a house gets to know it; at its end,
//!            `arrived.json`: what came, and what came twice.
//! Never      anything real: it keeps everything in memory and forgets it when it stops, unless it is
//!            told to keep what is written.

use crate::args::SimPayerArgs;
use crate::config::{read_text, unwritable, write_text};
use crate::ehr::{AUTHORITY, certificate, listen};
use crate::serve::asked_to_stop;
use exchange::partner::{Foreign, PublicFile, PublicIdentifier, Role, SignIn};
use exchange::{Code, Digest, Issue};
use serde_json::{Value, json};
use sim::payer::{Arrived, ForeignPayer, PayerPlan, Profile, Schedule};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use wire::{Credential, SigningKey, SystemClock};

/// The file for a sending house.
pub const PUBLIC: &str = "public.json";

/// The file that says what has arrived.
pub const ARRIVED: &str = "arrived.json";

/// The file of what was written, where it is to be there again.
pub const KEPT: &str = "kept.ndjson";

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
    let signed = !clients.is_empty();
    let kept = args.keep.then(|| args.folder.join(KEPT));
    let schedule = Schedule(args.faults);
    let payer = start(&args.folder, profile, schedule, clients, listener, kept.as_deref())?;
    let public = public(&args.folder, profile, payer.base_url(), signed, args.payer_ids)?;
    write_text(&args.folder.join(PUBLIC), &public)?;
    println!("ready {}", payer.base_url());
    std::io::stdout().flush().ok();
    asked_to_stop(args.tethered).await;
    let arrived = payer.arrived();
    payer.stop().await;
    write_text(&args.folder.join(ARRIVED), &format!("{:#}\n", told(&arrived)))
}

/// What a sending house has to know of it.
fn public(
    folder: &Path,
    profile: Profile,
    base_url: &str,
    signed: bool,
    payer_identifiers: Vec<PublicIdentifier>,
) -> Result<String, Issue> {
    let sign_in = if signed { SignIn::Smart } else { SignIn::None };
    let title = format!("{} payer", profile.name());
    let file = PublicFile {
        authority: if signed { read_text(&folder.join(AUTHORITY))? } else { String::new() },
        payer_identifiers,
        foreign: Some(Foreign { sign_in, client_id: None, token_endpoint: None, scope: None }),
        ..PublicFile::of(profile.name(), Role::Payer, &title, base_url)
    };
    let text = serde_json::to_string_pretty(&file);
    text.map_err(|_| Issue::new(Code::InternalError, "the payer's file cannot be written"))
}

/// Starts a foreign payer: with TLS and sign-in where there are clients, else without both; with what
/// an earlier one kept, where there is a file for that.
pub fn start(
    folder: &Path,
    profile: Profile,
    schedule: Schedule,
    clients: Vec<Credential>,
    listener: tokio::net::TcpListener,
    kept: Option<&Path>,
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
    match kept {
        Some(file) => ForeignPayer::start_kept(plan, listener, file),
        None => ForeignPayer::start(plan, listener),
    }
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
