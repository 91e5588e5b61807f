//! Strict: what a server by the book will not have.
//!
//! Comes in   a resource, and what the server insists on.
//! Goes out   the first element that it refuses, by its place.
//! Never      quotes a value.

use super::desk::{Refused, Told};
use super::profile::{Abilities, Habit};
use fhir::r4::Type;
use serde_json::Value;

/// Where extensions that HL7 defines begin.
const HL7: [&str; 2] = ["http://hl7.org/fhir/", "http://terminology.hl7.org/"];

/// Refuses what the server's habits do not take.
pub(crate) fn examine(abilities: &Abilities, content: &Value) -> Told<()> {
    let kind = content["resourceType"].as_str().unwrap_or_default();
    if abilities.is(Habit::NoMetaSource) && !content["meta"]["source"].is_null() {
        let refused = Refused::new(422, "business-rule", "this server sets meta.source itself");
        return Err(refused.at(format!("{kind}.meta.source")));
    }
    let elements = abilities.is(Habit::KnownElementsOnly);
    let extensions = abilities.is(Habit::KnownExtensionsOnly);
    if !elements && !extensions {
        return Ok(());
    }
    match Type::named(kind).filter(|of| of.is_resource()) {
        Some(of) => Reading { elements, extensions }.object(of, content, kind),
        None => Err(Refused::new(404, "not-supported", "R4 does not have that type")),
    }
}

struct Reading {
    elements: bool,
    extensions: bool,
}

impl Reading {
    fn object(&self, of: Type, value: &Value, place: &str) -> Told<()> {
        let members = value.as_object().ok_or_else(|| {
            Refused::new(422, "structure", "an object is expected here").at(place)
        })?;
        for (name, member) in members {
            let place = format!("{place}.{name}");
            match name.as_str() {
                "resourceType" => continue,
                "extension" | "modifierExtension" if self.extensions => {
                    extensions(member, name, &place)?;
                }
                _ => {}
            }
            let plain = name.strip_prefix('_').unwrap_or(name);
            match of.elements().find(|element| element.name() == plain) {
                Some(element) => {
                    if let Some(inner) = element.leads_to().filter(|_| plain == name) {
                        self.each(inner, member, &place)?;
                    }
                }
                None if self.elements => {
                    let refused = Refused::new(422, "structure", "R4 has no such element");
                    return Err(refused.at(place));
                }
                None => {}
            }
        }
        Ok(())
    }

    fn each(&self, of: Type, value: &Value, place: &str) -> Told<()> {
        let own = |value: &Value| match value["resourceType"].as_str().and_then(Type::named) {
            Some(own) if of.name() == "Resource" => own,
            _ => of,
        };
        match value {
            Value::Array(items) => {
                items.iter().try_for_each(|item| self.object(own(item), item, place))
            }
            one => self.object(own(one), one, place),
        }
    }
}

fn extensions(value: &Value, name: &str, place: &str) -> Told<()> {
    let refused = |words: &str| Err(Refused::new(422, "extension", words).at(place));
    if name == "modifierExtension" {
        return refused("this server understands no modifier extensions");
    }
    let urls = value.as_array().into_iter().flatten().filter_map(|it| it["url"].as_str());
    for url in urls {
        // Parts of an extension have names and no address.
        let part = !url.contains(':');
        if !part && !HL7.iter().any(|begin| url.starts_with(begin)) {
            return refused("this server does not know that extension");
        }
    }
    Ok(())
}
