//! Told: what was found at a partner's door, what was written, and what is next.
//!
//! Comes in   what came of taking the partner in.
//! Goes out   words for a person; the same for a program.
//! Never      a word of the partner's at more than one short line.

use super::door::{Documents, clip};
use super::file::Standing;
use super::{Added, signs_in};
use crate::render;
use crate::table;
use exchange::desk::{IssueWords, Reply};
use exchange::partner::{Role, SignIn};
use exchange::probe::{Step, Verdict};
use serde_json::{Value, json as make};
use std::fmt::Write;

/// For a person.
pub fn words(added: &Added) -> String {
    let mut text = format!("{} at {}\n\n", clip(&added.public.title), added.public.base_url);
    let rows = found(added).into_iter().map(|(what, words)| vec![what.to_owned(), words]);
    for line in table::lines(2, &rows.collect::<Vec<_>>()) {
        let _ = writeln!(text, "{line}");
    }
    let file = match &added.standing {
        Standing::New => "written".to_owned(),
        Standing::AsItWas => "as it was".to_owned(),
        Standing::Amended(members) => format!("as it was, with another {}", members.join(" and ")),
        Standing::Differs => {
            "as it was; the partner publishes another identity now: compare them".to_owned()
        }
    };
    let agreement = match added.agreed_before {
        true => "as it was",
        false => "written: read it, and narrow it where you agreed on less",
    };
    let files = [(&added.file, file), (&added.agreement, agreement.to_owned())];
    let files = files.map(|(place, words)| vec![place.display().to_string(), words]);
    let _ = writeln!(text);
    for line in table::lines(2, &files) {
        let _ = writeln!(text, "{line}");
    }
    match &added.probed {
        Some(Ok(probe)) => {
            let _ = write!(text, "\n{}", render::reply(&Reply::Probed(probe.clone())));
        }
        Some(Err(issue)) => {
            let _ = write!(text, "\nThe door could not be probed:\n{}", render::issue(issue));
        }
        None => {}
    }
    let _ = writeln!(text, "\nNext:");
    for line in next(added) {
        for line in table::wrapped(&line, 94) {
            let _ = writeln!(text, "  {line}");
        }
    }
    table::plain_lines(&text)
}

/// For a program.
pub fn json(added: &Added) -> Value {
    let found: serde_json::Map<String, Value> =
        found(added).into_iter().map(|(what, words)| (what.to_owned(), words.into())).collect();
    let probed = match &added.probed {
        Some(Ok(probe)) => make!(probe),
        Some(Err(issue)) => make!({ "issue": IssueWords::from(issue) }),
        None => Value::Null,
    };
    make!({
        "partner": added.public.name, "file": added.file, "agreement": added.agreement,
        "standing": match &added.standing {
            Standing::New => "new",
            Standing::AsItWas => "as-it-was",
            Standing::Amended(_) => "amended",
            Standing::Differs => "differs",
        },
        "sign_in": added.public.signs_in(), "found": found, "probe": probed, "next": next(added),
        "sha256": added.looked.certificate.as_ref().map(|it| it.sha256.clone()),
    })
}

/// What the door shows, line by line.
fn found(added: &Added) -> Vec<(&'static str, String)> {
    let Documents { introduction, statement, smart, davinci, community } = &added.documents;
    let certificate = match &added.looked.certificate {
        None => "none: plain HTTP on this machine".to_owned(),
        Some(it) => {
            let hosts: Vec<String> = it.hosts.iter().take(3).map(|host| clip(host)).collect();
            format!(
                "of {}, by {}, until {}",
                hosts.join(", "),
                clip(&it.issuer),
                it.until.strftime("%F")
            )
        }
    };
    let mut rows = vec![("certificate", certificate)];
    rows.extend(added.looked.certificate.as_ref().map(|it| ("SHA-256", it.sha256.clone())));
    rows.push(match introduction {
        Some(_) => ("introduction", format!("a house of this program, {}", role(added))),
        None => ("introduction", "none: a server of another make".to_owned()),
    });
    if added.public.role == Role::Provider {
        return rows;
    }
    let text = |value: &Value| clip(value.as_str().unwrap_or("of a kind it does not say"));
    rows.push(match statement {
        Some(it) => {
            let words =
                format!("FHIR {}, {}", text(&it["fhirVersion"]), text(&it["software"]["name"]));
            ("metadata", words)
        }
        None => ("metadata", "none that can be read".to_owned()),
    });
    rows.push(match smart {
        Some(it) => ("smart-configuration", format!("tokens at {}", text(&it["token_endpoint"]))),
        None => ("smart-configuration", "none".to_owned()),
    });
    rows.push(match community {
        None => ("udap", "none".to_owned()),
        Some(Ok(uri)) => ("udap", format!("signed in a community of this house: {uri}")),
        Some(Err(why)) => ("udap", format!("offered, but not to this house: {}", clip(why))),
    });
    rows.push(match davinci {
        Some(it) => {
            let count = it["endpoints"].as_object().map_or(0, serde_json::Map::len);
            ("davinci-configuration", format!("{count} endpoints"))
        }
        None => ("davinci-configuration", "none".to_owned()),
    });
    let names = added.public.payer_identifiers.iter();
    let names: Vec<String> = names.map(|it| clip(&format!("{}|{}", it.system, it.value))).collect();
    rows.push(match names.is_empty() {
        true => ("coverages name it", "by nothing that was said".to_owned()),
        false => ("coverages name it", format!("by {}: is that so?", names.join(", "))),
    });
    rows.push(("signing in by", signs_in(&added.public)));
    rows
}

fn role(added: &Added) -> &'static str {
    match added.public.role {
        Role::Provider => "a provider",
        Role::Payer => "a payer",
    }
}

/// What people do now: here, or at the partner.
fn next(added: &Added) -> Vec<String> {
    let name = &added.public.name;
    let mut next = Vec::new();
    if added.public.role == Role::Payer && added.public.payer_identifiers.is_empty() {
        next.push(format!(
            "Say under payer_identifiers in {} by what coverages name this payer.",
            added.agreement.display()
        ));
    }
    let token = added
        .probed
        .as_ref()
        .and_then(|probed| probed.as_ref().ok())
        .and_then(|probe| probe.findings.iter().find(|finding| finding.step == Step::Token));
    let fails = added.probed.as_ref().is_some_and(|it| it.as_ref().is_ok_and(|it| it.fails()));
    match token.map(|finding| finding.verdict) {
        Some(Verdict::Fail) => next.extend(to_mail(added)),
        _ if fails => next.push(format!(
            "Mend what is this house's to mend, and mail the payer the report for the rest: `handover \
             probe {name} --report report.md`. Then give this command again."
        )),
        _ if added.runs => next.push(format!(
            "This house runs, and takes {name} up when it is started anew; then give this command again."
        )),
        _ if added.waits() => {
            next.push("Mend what is named above, and give this command again.".to_owned());
        }
        _ => {}
    }
    if next.is_empty() {
        next.push(match added.public.role {
            Role::Payer => {
                format!(
                    "Nothing. `handover --house {} check` says what a push would meet.",
                    added.house
                )
            }
            Role::Provider => {
                "Open the doors: `handover serve`; the partner does the same with this house's URL."
                    .to_owned()
            }
        });
    }
    next
}

/// What the payer's people need before they let this house in.
fn to_mail(added: &Added) -> Vec<String> {
    let (file, url) = (added.own_file.display(), &added.own_url);
    match (added.public.signs_in(), &added.public.foreign) {
        (SignIn::Udap, None) => vec![
            format!(
                "The payer's people let this house in: mail them {file}, which they take in with \
                 `handover partner add`, or they do so with {url}."
            ),
            format!(
                "Where it registered and waits, they also say: handover partner approve {url} --partner \
                 {} --why \"…\". Then give this command again.",
                added.house
            ),
        ],
        (SignIn::Udap, Some(_)) => vec![format!(
            "Ask the payer's people to let the client {url} in. Then give this command again."
        )],
        (_, None) => vec![format!(
            "The payer's people let this house in: mail them {file}, or they give `handover partner add \
             {url}`. Then give this command again."
        )],
        (_, Some(_)) => {
            let client = added.public.foreign.as_ref().and_then(|it| it.client_id.clone());
            vec![format!(
                "Ask the payer's people to register a SMART Backend Services client with the keys at \
                 {url}/.well-known/jwks.json (or the jwks in {file}), as {}. Then give this command again.",
                client.unwrap_or_else(|| added.house.clone())
            )]
        }
    }
}
