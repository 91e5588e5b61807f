//! Words: the searches of the minimum that go by names, addresses, births and specialties.
//!
//! Comes in   a resource, the name of a parameter, its value.
//! Goes out   whether it fits (R4 §3.1.1.4.8 string: begins with, whatever the case).
//! Never      an index: these types are few, and each search reads all of them.

use serde_json::Value;

/// Whether a parameter is answered here, and not by the desk.
pub(crate) fn is_one(kind: &str, name: &str) -> bool {
    matches!(
        (kind, name),
        (_, "name" | "address" | "birthdate" | "gender")
            | ("PractitionerRole", "specialty" | "practitioner")
    )
}

/// Whether a resource fits a parameter of `is_one`.
pub(crate) fn fits(resource: &Value, name: &str, value: &str) -> bool {
    match name {
        "birthdate" => resource["birthDate"].as_str().is_some_and(|date| date.starts_with(value)),
        "gender" => {
            let code = value.rsplit('|').next().unwrap_or_default();
            resource["gender"] == code
        }
        "practitioner" => {
            let own = resource["practitioner"]["reference"].as_str().unwrap_or_default();
            own == value || own.strip_prefix("Practitioner/") == Some(value)
        }
        "specialty" => {
            let (system, code) = match value.split_once('|') {
                Some((system, code)) => (Some(system), code),
                None => (None, value),
            };
            let concepts = resource["specialty"].as_array().into_iter().flatten();
            let mut codings = concepts.flat_map(|it| it["coding"].as_array().into_iter().flatten());
            codings
                .any(|it| it["code"] == code && system.is_none_or(|system| it["system"] == system))
        }
        name => {
            let wanted = value.to_lowercase();
            !wanted.is_empty() && begins(&resource[name], &wanted)
        }
    }
}

/// Whether any text below begins so.
fn begins(value: &Value, wanted: &str) -> bool {
    match value {
        Value::String(text) => text.to_lowercase().starts_with(wanted),
        Value::Array(items) => items.iter().any(|item| begins(item, wanted)),
        Value::Object(members) => {
            let words =
                members.iter().filter(|(name, _)| !matches!(name.as_str(), "use" | "extension"));
            words.into_iter().any(|(_, member)| begins(member, wanted))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_and_addresses_begin_with_what_is_asked() {
        let person = json!({
            "name": [{ "use": "official", "family": "Invented", "given": ["Ann", "Bea"] }],
            "birthDate": "1970-02-01", "gender": "female",
            "address": [{ "line": ["1 Main Street"], "city": "Springfield" }],
        });
        for (name, value, expected) in [
            ("name", "inv", true),
            ("name", "bea", true),
            ("name", "vented", false),
            ("name", "official", false),
            ("name", "", false),
            ("address", "springfield", true),
            ("birthdate", "1970-02-01", true),
            ("birthdate", "1970-02-02", false),
            ("gender", "female", true),
            ("gender", "male", false),
        ] {
            assert_eq!(fits(&person, name, value), expected, "{name} {value}");
        }
        let role = json!({
            "practitioner": { "reference": "Practitioner/d" },
            "specialty": [{ "coding": [{ "system": "s", "code": "c" }] }],
        });
        for (name, value, expected) in [
            ("practitioner", "d", true),
            ("practitioner", "Practitioner/d", true),
            ("practitioner", "e", false),
            ("specialty", "s|c", true),
            ("specialty", "t|c", false),
            ("specialty", "c", true),
        ] {
            assert_eq!(fits(&role, name, value), expected, "{name} {value}");
        }
    }
}
