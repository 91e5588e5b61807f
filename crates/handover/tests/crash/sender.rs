//! Sender: somebody who knocks at a payer's door without being a house of ours, and the Bundles it
//! brings.
//!
//! Comes in   a registration at the payer; what is to be wrong with a Bundle.
//! Goes out   answers as they came.
//! Never      follows the rules unless told to.

use crate::common::{House, RUNTIME};
use bytes::Bytes;
use exchange::id::derived_id;
use http::{Request, Response};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sim::town::MemberRow;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use wire::{HttpTransport, SmartClient, SystemClock, Transport, TransportError};

/// FHIR as JSON, as a sender should say it.
pub(crate) const FHIR_JSON: &str = "application/fhir+json";

/// One client of a payer's door.
pub(crate) struct Sender {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) base_url: String,
    key: String,
    authority: String,
    transport: Arc<HttpTransport>,
}

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Told {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

impl From<Response<Bytes>> for Told {
    fn from(answer: Response<Bytes>) -> Told {
        let (head, body) = answer.into_parts();
        Told { status: head.status.as_u16(), headers: head.headers, body }
    }
}

impl Sender {
    /// Somebody with the keys of this house.
    pub(crate) fn with_keys_of(house: &House, payer: &House) -> Sender {
        let public = payer.public();
        let roots = [public.authority.clone().into_bytes()];
        let transport = HttpTransport::new(&roots, Duration::from_secs(60), 1 << 24).unwrap();
        Sender {
            name: house.name.clone(),
            namespace: house.public().namespace,
            base_url: public.base_url,
            key: house.read("keys/signing.pem"),
            authority: public.authority,
            transport: Arc::new(transport),
        }
    }

    /// An access token for these scopes; why not, where none is given.
    pub(crate) fn token(&self, scope: &str) -> Result<String, String> {
        let (transport, clock) = (Arc::clone(&self.transport), Arc::new(SystemClock));
        let scope = scope.to_owned();
        let client =
            SmartClient::new(transport, &self.base_url, &self.name, &self.key, scope, clock);
        let token = RUNTIME.block_on(client.unwrap().token());
        token.map(|token| token.expose_secret().to_owned()).map_err(|error| error.to_string())
    }

    /// A request to the door, to be added to.
    pub(crate) fn request(&self, method: &str, path: &str, token: &str) -> http::request::Builder {
        let slash = if path.is_empty() { "" } else { "/" };
        let request = Request::builder().method(method);
        let request = request.uri(format!("{}{slash}{path}", self.base_url));
        match token {
            "" => request,
            token => request.header("authorization", format!("Bearer {token}")),
        }
    }

    /// A Bundle, sent as it should be.
    pub(crate) fn post(&self, token: &str, body: impl Into<Bytes>) -> Told {
        let request = self.request("POST", "", token).header("content-type", FHIR_JSON);
        self.send(request.body(body.into()).unwrap())
    }

    pub(crate) fn get(&self, token: &str, path: &str) -> Told {
        self.send(self.request("GET", path, token).body(Bytes::new()).unwrap())
    }

    pub(crate) fn send(&self, request: Request<Bytes>) -> Told {
        RUNTIME.block_on(self.send_later(request))
    }

    /// The same, where the door may be gone.
    pub(crate) async fn attempt(&self, request: Request<Bytes>) -> Result<Told, TransportError> {
        self.transport.send(request).await.map(Told::from)
    }

    /// The same, for many at once.
    pub(crate) async fn send_later(&self, request: Request<Bytes>) -> Told {
        self.attempt(request).await.unwrap()
    }

    /// Says bytes of its own choosing over TLS, then ends its side or cuts the connection; what the
    /// door answered to the first.
    pub(crate) async fn speak(&self, words: &[u8], waits: bool) -> Vec<u8> {
        let authority = CertificateDer::from_pem_slice(self.authority.as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(authority).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let address = self.base_url.strip_prefix("https://").unwrap().split('/').next().unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        stream.write_all(words).await.unwrap();
        stream.flush().await.unwrap();
        let mut told = Vec::new();
        if waits {
            stream.shutdown().await.unwrap();
            stream.read_to_end(&mut told).await.ok();
        }
        told
    }

    // ---- what it brings -----------------------------------------------------------------------

    /// An entry that puts a resource under the id derived from its source id.
    pub(crate) fn put(&self, kind: &str, source_id: &str, content: Value) -> Value {
        let id = derived_id(&self.namespace, kind, source_id);
        let source = format!("{}/{kind}/{source_id}", self.namespace);
        let mut resource = json!({ "resourceType": kind, "id": id, "meta": { "source": source } });
        resource.as_object_mut().unwrap().extend(content.as_object().unwrap().clone());
        let url = format!("{kind}/{id}");
        json!({ "resource": resource, "request": { "method": "PUT", "url": url } })
    }

    pub(crate) fn reference(&self, kind: &str, source_id: &str) -> Value {
        json!({ "reference": format!("{kind}/{}", derived_id(&self.namespace, kind, source_id)) })
    }

    /// A push that every rule allows: a Patient, its Coverage, an Encounter.
    pub(crate) fn bundle(&self, push: u64, member: &MemberRow) -> Value {
        let patient = json!({
            "name": [{ "family": member.family, "given": [member.given] }],
            "birthDate": member.birth_date,
            "gender": member.gender,
        });
        let coverage = json!({
            "status": "active",
            "subscriberId": member.member_id,
            "beneficiary": self.reference("Patient", "p1"),
            "payor": [{ "display": "the plan" }],
        });
        let encounter = json!({
            "status": "finished",
            "class": { "code": "AMB" },
            "subject": self.reference("Patient", "p1"),
        });
        json!({
            "resourceType": "Bundle",
            "type": "transaction",
            "identifier": {
                "system": format!("{}/push", self.namespace),
                "value": format!("{push}-{:032x}", push),
            },
            "entry": [
                self.put("Patient", "p1", patient),
                self.put("Coverage", "c1", coverage),
                self.put("Encounter", "e1", encounter),
            ],
        })
    }
}
