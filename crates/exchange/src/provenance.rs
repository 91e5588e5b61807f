//! Provenance: who sent a push, when, what for; the last entry of every push.
//!
//! Comes in   the push's envelope and what it is about.
//! Goes out   the bytes of one US Core Provenance (7.0.0 §Provenance; R4 §6.3).
//! Never      anything that is not in the push already, but the original `meta.source` URIs, which
//!            the push replaces by its own.
//!
//! Why originals become entities with role `source`: R4 has one `meta.source`, and the payer
//! needs ours to recompute ids. `entity.what` takes an identifier, and a URI is one
//! (`urn:ietf:rfc:3986`), so no extension has to be invented.

use crate::assemble::Envelope;
use crate::id::{PushId, derived_id};
use fhir::{Node, Resource};
use serde_json::{Value, json};

/// What a Provenance says happened.
pub(crate) enum Deed<'a> {
    /// Records were sent; originals are (`Type/id` here, `meta.source` as read).
    Sent {
        /// Original sources.
        originals: Vec<(String, &'a str)>,
    },
    /// Records of an earlier push were taken back.
    Withdrawn {
        /// The patient, by id at the payer.
        patient: &'a str,
        /// The earlier push.
        push: &'a PushId,
        /// Why, in a person's words.
        reason: &'a str,
    },
}

/// The operation by which records are taken back.
const NULLIFY: &str = "NULLIFY";
const RFC_3986: &str = "urn:ietf:rfc:3986";
const TERMINOLOGY: &str = "http://terminology.hl7.org/CodeSystem";
const US_CORE: &str = "http://hl7.org/fhir/us/core";

/// Id and bytes of a push's Provenance. Targets are references, in the order of the entries.
pub(crate) fn provenance(
    envelope: &Envelope<'_>,
    push: &PushId,
    targets: &[String],
    deed: &Deed<'_>,
) -> (String, Vec<u8>) {
    let id = derived_id(envelope.namespace, "Provenance", push.as_str());
    let source = format!("{}/Provenance/{push}", envelope.namespace);
    let targets: Vec<Value> = targets.iter().map(|target| json!({ "reference": target })).collect();
    let mut resource = json!({
        "resourceType": "Provenance",
        "id": id,
        "meta": {
            "source": source,
            "profile": [format!("{US_CORE}/StructureDefinition/us-core-provenance")],
        },
        "target": targets,
        "recorded": envelope.recorded.to_string(),
        "reason": reasons(envelope, deed),
        "activity": activity(deed),
        "agent": agents(envelope),
    });
    let entities = entities(envelope, deed);
    if !entities.is_empty() {
        resource["entity"] = entities.into();
    }
    (id, resource.to_string().into_bytes())
}

fn concept(system: &str, code: &str) -> Value {
    json!({ "coding": [{ "system": system, "code": code }] })
}

fn reasons(envelope: &Envelope<'_>, deed: &Deed<'_>) -> Vec<Value> {
    let purpose = envelope.purpose.to_string();
    let mut reasons = vec![concept(&format!("{TERMINOLOGY}/v3-ActReason"), &purpose)];
    if let Deed::Withdrawn { reason, .. } = deed
        && !reason.is_empty()
    {
        reasons.push(json!({ "text": reason }));
    }
    reasons
}

/// Whether a resource is a Provenance that says of records that they were taken back (`activity`, v3
/// DataOperation), and brings nothing along.
pub fn takes_back(resource: &Resource) -> bool {
    let doc = resource.doc();
    let root = doc.root();
    let ours = |coding: Node<'_, '_>| {
        let text = |name: &str| coding.get(name).and_then(|member| member.text());
        let system = text("system");
        let ours = system.as_deref().and_then(|system| system.strip_prefix(TERMINOLOGY));
        ours == Some("/v3-DataOperation") && text("code").as_deref() == Some(NULLIFY)
    };
    let codings = root.get("activity").and_then(|activity| activity.get("coding"));
    resource.kind() == "Provenance"
        && root.get("contained").is_none()
        && codings.into_iter().flat_map(|list| list.each()).any(ours)
}

fn activity(deed: &Deed<'_>) -> Value {
    match deed {
        Deed::Sent { .. } => concept(&format!("{TERMINOLOGY}/iso-21089-lifecycle"), "transmit"),
        Deed::Withdrawn { .. } => concept(&format!("{TERMINOLOGY}/v3-DataOperation"), NULLIFY),
    }
}

/// The house answers for what it sends and transmits it; the software puts it together.
fn agents(envelope: &Envelope<'_>) -> Value {
    let house = json!({
        "type": "Organization",
        "identifier": { "system": RFC_3986, "value": envelope.namespace },
        "display": envelope.sender_name,
    });
    let software = format!("Handover {}", envelope.software_version);
    let participant = format!("{TERMINOLOGY}/provenance-participant-type");
    json!([
        { "type": concept(&participant, "author"), "who": house },
        {
            "type": concept(
                &format!("{US_CORE}/CodeSystem/us-core-provenance-participant-type"),
                "transmitter",
            ),
            "who": house,
        },
        {
            "type": concept(&participant, "assembler"),
            "who": { "type": "Device", "display": software },
            "onBehalfOf": house,
        },
    ])
}

fn entities(envelope: &Envelope<'_>, deed: &Deed<'_>) -> Vec<Value> {
    match deed {
        Deed::Sent { originals } => originals
            .iter()
            .map(|(reference, original)| {
                let identifier = json!({ "system": RFC_3986, "value": original });
                let display = format!("meta.source of {reference}");
                json!({ "role": "source", "what": { "identifier": identifier, "display": display } })
            })
            .collect(),
        Deed::Withdrawn { push, .. } => {
            let system = crate::assemble::push_system(envelope.namespace);
            let identifier = json!({ "system": system, "value": push.as_str() });
            vec![json!({ "role": "removal", "what": { "identifier": identifier } })]
        }
    }
}
