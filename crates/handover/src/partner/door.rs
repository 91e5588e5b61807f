//! Door: what a partner's door shows to somebody who has no credential there.
//!
//! Comes in   its base URL; the authority that a person trusts.
//! Goes out   its certificate in words; its documents, each as far as it can be read.
//! Never      asks for a document before the certificate was trusted, or connects to an address that
//!            `[network] allow` does not permit.

use crate::limits::PARTNER_LOOK_MAX;
use crate::{communities, config, doors};
use exchange::{Code, Issue};
use http::Uri;
use jiff::Timestamp;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use wire::doorstep::{self, TlsFault};
use wire::shown::{self, Described};
use wire::trust::introduction::INTRODUCTION_PATH;
use wire::{FhirClient, SystemClock};

/// The certificate of a door.
#[derive(Debug, Clone, Default)]
pub struct Looked {
    /// In words; none on a door without TLS.
    pub certificate: Option<Described>,
    /// Of the authorities that a person named, those it comes from.
    pub authority: String,
}

/// Looks at the certificate, and whether the authority vouches for it.
///
/// Errors: `CommandInvalid`, `PayerUntrusted`, `ConfigInvalid`.
pub(super) async fn look(
    config: &config::House,
    url: &str,
    authority: Option<&str>,
) -> Result<Looked, Issue> {
    if url.starts_with("http://") {
        return Ok(Looked::default());
    }
    let uri: Option<Uri> = url.parse().ok();
    let host = uri
        .as_ref()
        .and_then(Uri::host)
        .ok_or_else(|| Issue::new(Code::ConfigInvalid, "the URL names no host").at("URL"))?;
    let port = uri.as_ref().and_then(Uri::port_u16).unwrap_or(443);
    let addresses = addresses(config, host, port).await?;
    let connect = || async {
        let detail = "nothing takes connections at this address: compare it with what the partner gave, \
                      and ask whether its door is open";
        let stream = doorstep::connect(&addresses, PARTNER_LOOK_MAX).await;
        stream.map_err(|_| Issue::new(Code::CommandInvalid, detail).at(url.to_owned()))
    };
    let shown = shown::look(connect().await?, host, PARTNER_LOOK_MAX).await;
    let shown = shown.map_err(|fault| untrusted(url, None, &fault))?;
    let certificate = shown.described();
    let Some(bundle) = authority else {
        return Err(untrusted(url, certificate.as_ref(), &TlsFault::NoRoots));
    };
    let authority = shown.issuers_in(bundle);
    let authority = if authority.is_empty() { bundle.to_owned() } else { authority };
    let roots = [authority.as_bytes()];
    let stream = connect().await?;
    let now = Timestamp::now();
    match doorstep::shake_hands(stream, host, &roots, now, PARTNER_LOOK_MAX).await {
        Ok(_) => Ok(Looked { certificate, authority }),
        Err(fault) => Err(untrusted(url, certificate.as_ref(), &fault)),
    }
}

/// Where the host is, as far as a partner's URL may lead there.
async fn addresses(
    config: &config::House,
    host: &str,
    port: u16,
) -> Result<Vec<SocketAddr>, Issue> {
    let place = format!("{host}:{port}");
    let found = doorstep::resolve(host, port, PARTNER_LOOK_MAX).await.map_err(|_| {
        let detail =
            "the name of the host leads to no address: compare it with what the partner gave";
        Issue::new(Code::CommandInvalid, detail).at(place.clone())
    })?;
    let network = config.network()?;
    let permitted: Vec<SocketAddr> =
        found.into_iter().filter(|address| network.permits(address.ip())).collect();
    if permitted.is_empty() {
        let detail = "the URL leads to a private network, which `[network] allow` in house.toml does \
                      not name";
        return Err(Issue::new(Code::PayerUntrusted, detail).at(place));
    }
    Ok(permitted)
}

/// Why a certificate is not trusted, with what a person needs to compare it.
fn untrusted(url: &str, shown: Option<&Described>, fault: &TlsFault) -> Issue {
    let why = match fault {
        TlsFault::NoRoots => "nobody has said which authority its certificate comes from",
        TlsFault::UnknownAuthority => "its certificate does not come from the authority named",
        TlsFault::Expired => "its certificate has ended: the partner renews it",
        TlsFault::NotYetValid => "its certificate is not valid yet: compare the clocks",
        TlsFault::OtherName => "its certificate is made out for other hosts",
        TlsFault::NothingInCommon => "it speaks no TLS 1.2 or newer",
        TlsFault::WantsCertificate => "it lets nobody in without a certificate it knows",
        TlsFault::NotTls => "what answers there speaks no TLS",
        TlsFault::CutOff => "it ended the connection half-way",
        TlsFault::BadCertificate(_) => "its certificate is none that a server may show",
    };
    let detail = match shown {
        Some(Described { subject, issuer, sha256, .. }) => format!(
            "{why}. It shows a certificate for {} by {} with SHA-256 {sha256}: compare that with the \
             partner by another way, have the file of its authority, and add --authority FILE",
            clip(subject),
            clip(issuer)
        ),
        None => why.to_owned(),
    };
    Issue::new(Code::PayerUntrusted, detail).at(url.to_owned())
}

/// A partner's words in one short line.
pub(super) fn clip(words: &str) -> String {
    words.chars().filter(|c| !c.is_control()).take(80).collect()
}

/// What a door says of itself.
#[derive(Debug, Clone, Default)]
pub struct Documents {
    /// A house of this program introduces itself.
    pub introduction: Option<String>,
    /// The CapabilityStatement.
    pub statement: Option<Value>,
    /// `.well-known/smart-configuration`.
    pub smart: Option<Value>,
    /// `.well-known/davinci-configuration`.
    pub davinci: Option<Value>,
    /// The community that the door and this house share; else why there is none.
    pub community: Option<Result<String, String>>,
}

/// Asks for the documents that are open to everybody.
///
/// Errors: `ConfigInvalid`, `KeyUnusable`; a document that is not there is none.
pub(super) async fn documents(
    config: &config::House,
    url: &str,
    authority: &str,
) -> Result<Documents, Issue> {
    let transport = doors::transport_trusting(config, authority)?;
    let client = FhirClient::new(url, Arc::clone(&transport), None);
    let text = |path: &'static str| {
        let client = client.clone();
        async move {
            let answer = in_time(client.get_open(path)).await?.ok()?;
            let body = (answer.status() == 200).then(|| answer.into_body())?;
            String::from_utf8(body.to_vec()).ok()
        }
    };
    let read = |text: Option<String>| -> Option<Value> {
        let read: Value = serde_json::from_str(&text?).ok()?;
        read.is_object().then_some(read)
    };
    let is_statement = |it: &Value| it["resourceType"] == "CapabilityStatement";
    let mut documents = Documents {
        introduction: text(INTRODUCTION_PATH).await,
        statement: read(text("metadata").await).filter(is_statement),
        smart: read(text(".well-known/smart-configuration").await),
        davinci: read(text(".well-known/davinci-configuration").await),
        community: None,
    };
    // 204 where the door is in communities of which the unnamed one is none.
    let offers = in_time(client.get_open(".well-known/udap")).await.and_then(Result::ok);
    if offers.is_some_and(|answer| answer.status() == 200 || answer.status() == 204) {
        let clock: Arc<dyn wire::Clock> = Arc::new(SystemClock);
        let shared = in_time(communities::shared(config, url, &transport, &clock)).await;
        let late = || Ok(Err("it did not answer in time".to_owned()));
        documents.community = Some(shared.unwrap_or_else(late)?);
    }
    Ok(documents)
}

/// What comes while a person waits for it.
async fn in_time<T>(asked: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(PARTNER_LOOK_MAX, asked).await.ok()
}
