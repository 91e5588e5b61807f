//! Ehr: a small electronic health record of its own, to try things out with.
//!
//! Comes in   invented patients or the charts of a folder; the public files of gateways.
//! Goes out   a running EHR; its authority, the plans' member files and the patients' restrictions
//!            as files.
//! Never      anything real: it is a toy with real sign-in and real TLS.

use crate::args::{SimEhrArgs, SimEhrMode};
use crate::config::{read_text, unwritable, write_text};
use crate::serve::asked_to_stop;
use exchange::partner::PublicFile;
use exchange::{Code, Digest, Issue};
use sim::ehr::{Ehr, EhrMode, EhrPlan, Odd};
use sim::town::{NAIC, PayerId, Plan, Restriction};
use sim::{Chart, Overlay, OverlayRules, Town, TownPlan};
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use wire::{Credential, SigningKey, SystemClock, keys, tls};

/// The file with the EHR's authority.
pub const AUTHORITY: &str = "authority.pem";

/// What an EHR holds, and what goes with it.
pub struct Record {
    /// The hospital's name.
    pub name: String,
    /// The chart.
    pub chart: Chart,
    /// The plans, with their members.
    pub plans: Vec<Plan>,
    /// What patients asked to keep from their plans.
    pub restrictions: Vec<Restriction>,
}

/// Runs an EHR until told to stop.
pub async fn serve(args: SimEhrArgs) -> Result<(), Issue> {
    let record = record(&args)?;
    fs::create_dir_all(&args.folder).map_err(|_| unwritable(&args.folder))?;
    for plan in &record.plans {
        let file = args.folder.join(format!("members-{}.csv", plan.payer_id.value));
        write_text(&file, &plan.member_file())?;
    }
    write_text(&args.folder.join("restrictions.toml"), &restrictions_toml(&record.restrictions))?;
    let clients: Vec<PublicFile> = args
        .clients
        .iter()
        .map(|file| PublicFile::parse(&read_text(file)?, &file.display().to_string()))
        .collect::<Result<_, Issue>>()?;
    let listener = listen(args.listen).await?;
    let mode = match args.mode {
        SimEhrMode::Full => EhrMode::Full,
        SimEhrMode::CertifiedMinimum => EhrMode::CertifiedMinimum(Odd::certified_minimum()),
    };
    let ehr = start_as(mode, &args.folder, &record.name, &record.chart, &clients, listener).await?;
    println!("ready {}", ehr.base_url());
    std::io::stdout().flush().ok();
    asked_to_stop(args.tethered).await;
    ehr.stop().await;
    Ok(())
}

/// Starts an EHR that offers all it can; see `start_as`.
pub async fn start(
    folder: &Path,
    name: &str,
    chart: &Chart,
    clients: &[PublicFile],
    listener: TcpListener,
) -> Result<Ehr, Issue> {
    start_as(EhrMode::Full, folder, name, chart, clients, listener).await
}

/// Starts an EHR in a folder; its authority's certificate is there when this returns.
pub async fn start_as(
    mode: EhrMode,
    folder: &Path,
    name: &str,
    chart: &Chart,
    clients: &[PublicFile],
    listener: TcpListener,
) -> Result<Ehr, Issue> {
    fs::create_dir_all(folder).map_err(|_| unwritable(folder))?;
    let (certificate, key) = certificate(folder, name)?;
    let credentials = clients.iter().map(|public| Credential {
        client_id: public.client_id.clone(),
        partner: public.name.to_string(),
        jwks: public.jwks.clone(),
        scopes: vec!["system/*.rs".to_owned()],
    });
    let secret = Digest::of(SigningKey::generate()?.to_pem().as_bytes());
    let plan = EhrPlan {
        folder: &folder.join("store"),
        name,
        credentials: credentials.collect(),
        secret: secret.0,
        host: None,
        tls: Some((certificate.as_bytes(), key.as_bytes())),
        clock: Arc::new(SystemClock),
    };
    let chart = chart.iter().map(|resource| resource.bytes.clone());
    Ehr::start_as(mode, plan, chart, listener).await
}

/// Listens for an EHR.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, Issue> {
    TcpListener::bind(address).await.map_err(|_| {
        let detail = "the address cannot be listened on; another program may have it";
        Issue::new(Code::ConfigInvalid, detail).at(address.to_string())
    })
}

/// A server certificate for loopback, by an authority that stays the same in this folder.
pub(crate) fn certificate(folder: &Path, name: &str) -> Result<(String, String), Issue> {
    let (public, private) = (folder.join(AUTHORITY), folder.join("authority-key.pem"));
    if !private.exists() {
        let (authority, authority_key) = tls::make_authority(&format!("{name} EHR authority"))?;
        keys::write_private(&private, authority_key.as_bytes())?;
        write_text(&public, &authority)?;
    }
    let hosts = ["127.0.0.1", "localhost"].map(str::to_owned);
    tls::issue_server_certificate(&read_text(&public)?, &read_text(&private)?, &hosts)
}

fn record(args: &SimEhrArgs) -> Result<Record, Issue> {
    match &args.data {
        Some(data) => from_charts(data, args.patients, args.plans, None, &OverlayRules::usual()),
        None => {
            let patients = args.patients.unwrap_or(TownPlan::default().patients_per_hospital);
            let plan = TownPlan {
                hospitals: 1,
                plans: args.plans.max(1),
                patients_per_hospital: patients,
                ..TownPlan::default()
            };
            let town = Town::generate(args.seed, &plan);
            let hospital = town.hospitals.into_iter().next();
            let hospital = hospital.ok_or_else(|| {
                Issue::new(Code::InternalError, "the town was built without a hospital")
            })?;
            Ok(Record {
                name: hospital.name,
                chart: hospital.chart,
                plans: town.plans,
                restrictions: hospital.restrictions,
            })
        }
    }
}

/// Charts of a folder, with the coverages and plans they lack.
fn from_charts(
    data: &Path,
    patients: Option<usize>,
    plans: usize,
    restrict_every: Option<usize>,
    rules: &OverlayRules,
) -> Result<Record, Issue> {
    let chart = load(data, patients)?;
    let overlaid = Overlay { plans: new_plans(plans), restrict_every, ..Overlay::default() }
        .apply(&chart, rules)?;
    Ok(Record {
        name: "Hospital of the Charts".to_owned(),
        chart: overlaid.chart,
        plans: overlaid.plans,
        restrictions: overlaid.restrictions,
    })
}

/// The charts of a folder.
pub fn load(data: &Path, patients: Option<usize>) -> Result<Chart, Issue> {
    Ok(Chart::load(data, patients)?)
}

/// Plans without members, named as the town names its own.
pub fn new_plans(count: usize) -> Vec<Plan> {
    let town = TownPlan { hospitals: 0, plans: count, ..TownPlan::default() };
    Town::generate(0, &town).plans
}

/// The identifier by which a Coverage names the n-th invented plan.
pub fn payer_id(plan: &Plan) -> PayerId {
    PayerId { system: NAIC.to_owned(), value: plan.payer_id.value.clone() }
}

/// Restrictions as a house's table.
pub fn restrictions_toml(restrictions: &[Restriction]) -> String {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let mut text = String::from("# What must not travel, whatever an agreement says.\n");
    for restriction in restrictions {
        text.push_str(&format!(
            "\n[[restriction]]\nsubject = {}\nreason = {}\n",
            quoted(&restriction.subject),
            quoted(&restriction.reason),
        ));
    }
    text
}
