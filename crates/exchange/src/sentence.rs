//! Sentence: a ledger line in words, the same for the command line, the console and the page.
//!
//! Comes in   an event.
//! Goes out   one sentence for a person who knows the work and not the program.
//! Never      a patient: events hold none.

use crate::ledger::{Event, Who};
use crate::purpose::Level;
use crate::push::SMALLER;
use crate::scope::Behalf;

/// The event in one sentence.
pub fn sentence(event: &Event) -> String {
    match event {
        Event::RegistrationAsked { client, said, partner } => {
            let whose = partner.as_ref().map_or("a person must say whose it is", |it| it.as_str());
            format!("client {client} registered as {}: {whose}", said.uri)
        }
        Event::RegistrationApproved { client, partner, who } => {
            format!("client {client} approved as {partner} by {}", person(who))
        }
        Event::RegistrationRefused { client, who } => {
            format!("client {client} refused by {}", person(who))
        }
        Event::PartnerSuspended { partner, who } => {
            format!("all exchange with {partner} suspended by {}", person(who))
        }
        Event::PartnerResumed { partner, who } => {
            format!("exchange with {partner} resumed by {}", person(who))
        }
        Event::ExportAsked { reader, asked, .. } => {
            let kinds = asked.kinds.as_ref().map_or("all types".to_owned(), |it| it.join(", "));
            format!("export of {kinds} asked for by {reader}")
        }
        Event::ExportReady { as_of, files, .. } => {
            let count: u64 = files.iter().map(|file| file.count).sum();
            format!("export ready: {count} records as of {as_of}, in {} files", files.len())
        }
        Event::ExportFetched { file, .. } => format!("file {file} of an export fetched"),
        Event::BulkReceived(step) => step.sentence(),
        Event::ExportEnded { expired: true, .. } => "export expired".to_owned(),
        Event::ExportEnded { .. } => "export deleted by its reader".to_owned(),
        Event::RegistrationCancelled { client } => format!("client {client} cancelled itself"),
        Event::RegisteredAt { endpoint, client: Some(client), .. } => {
            format!("registered at {endpoint} as {client}")
        }
        Event::RegisteredAt { endpoint, .. } => format!("registered at {endpoint} no more"),
        Event::Opened { version } => format!("house opened by version {version}"),
        Event::Looked { who, subject } => format!("{subject} looked at by {}", person(who)),
        Event::Triggered { subject, who, .. } => {
            format!("{subject} triggered by {}", person(who))
        }
        Event::Scoped { walks, .. } => match walks.len() {
            1 => "concerns one payer".to_owned(),
            count => format!("concerns {count} payers"),
        },
        Event::TriggerHeld { issues, .. } | Event::Held { issues } => {
            format!("waits for a person: {}", codes(issues))
        }
        Event::TriggerDelayed { until, issue, .. }
        | Event::Delayed { until, issue }
        | Event::Accepted { until, issue, .. } => {
            format!("next attempt at {until}: {}", issue.code.row().title)
        }
        Event::PayorsFound { unmapped, left_alone, .. } => format!(
            "payors to be mapped by a person: {}; coverages left alone: {left_alone}",
            unmapped.len()
        ),
        Event::PayorMapped { who, payor, partner, .. } => {
            let payor = payor.as_ref().map(|key| format!(" {key}")).unwrap_or_default();
            let to = partner.as_ref().map_or("nobody", |partner| partner.as_str());
            format!("payor{payor} mapped to {to} by {}", person(who))
        }
        Event::RestrictionsChanged { who, added, removed, .. } => {
            format!("{added} restrictions added and {removed} removed by {}", person(who))
        }
        Event::TriggerReleased { who, .. } | Event::Released { who } => {
            format!("released by {}", person(who))
        }
        Event::TriggerWithdrawn { who, .. } => format!("withdrawn by {}", person(who)),
        Event::Began { payer, kind, subject, purpose, mode, deadline, on_behalf, .. } => {
            let behalf: Vec<String> = on_behalf.iter().map(Behalf::words).collect();
            let behalf = match behalf.is_empty() {
                true => String::new(),
                false => format!(" ({})", behalf.join("; ")),
            };
            format!(
                "{kind} push of {subject} to {payer}{behalf} began, for {purpose}, {mode}, until \
                 {deadline}"
            )
        }
        Event::Routed { endpoint, version, mode, form } => {
            format!("door found: {endpoint}, FHIR {version}, {form}, {mode}")
        }
        Event::Assembled { push, resources, withheld, .. } => {
            let kept: u64 = withheld.iter().map(|row| row.resources).sum();
            format!("assembled as {push}: {resources} entries, {kept} resources withheld")
        }
        Event::Unchanged { push } => format!("same content as {push}; nothing is sent"),
        Event::Withheld { issue, .. } => format!("nothing may travel: {}", issue.detail),
        Event::Intended { attempt, endpoint, part: Some(part), .. } => {
            format!("part {part} about to be sent to {endpoint}, attempt {attempt}")
        }
        Event::Intended { attempt, endpoint, .. } => {
            format!("about to be sent to {endpoint}, attempt {attempt}")
        }
        Event::Parted { part, status: 0, filed, refused, .. } => format!(
            "part {part}: no answer came to its last request; {filed} filed, {} refused",
            refused.len()
        ),
        Event::Parted { part, status, filed, refused, .. } => format!(
            "part {part}: the payer answered {status}; {filed} filed, {} refused",
            refused.len()
        ),
        Event::LeftOut { records, issues } => {
            format!("{} records cannot be sent: {}", records.len(), codes(issues))
        }
        Event::SteppedDown { from, status } if from == SMALLER => {
            format!("the payer answered {status}; requests become half as large")
        }
        Event::SteppedDown { from, status } => format!(
            "the payer answered {status} to what its statement offers ({from}); the next rung is taken"
        ),
        Event::Reconciled { found, missing } => {
            format!("of the part sent last {found} records are at the payer, {missing} are not")
        }
        Event::Answered { status, .. } => format!("the payer answered {status}"),
        Event::Polling { until, .. } => {
            format!("taken by the payer; its word is asked for at {until}")
        }
        Event::Settled { level: Level::Taken } => "settled: taken by the payer".to_owned(),
        Event::Settled { level: Level::Accepted } => "settled: accepted by the payer".to_owned(),
        Event::Settled { level: Level::Filed } => "settled: filed by the payer".to_owned(),
        Event::Refused { issues } => format!("refused by the payer: {}", codes(issues)),
        Event::Superseded { by } => format!("gave way to a newer revision, {by}"),
        Event::Outdated { by, .. } => {
            format!("restrictions have changed since; it is not sent, and {by} looks anew")
        }
        Event::Acknowledged { to, .. } => format!("acknowledged to {to}"),
        Event::WithdrawalAsked { who, by } => format!("withdrawn by {} with {by}", person(who)),
        Event::Received { sender, bytes, entries, .. } => {
            format!("received from {sender}: {entries} entries, {bytes} bytes")
        }
        Event::Beneath { versions, .. } => format!(
            "{versions} older versions put beneath what stands: they stand again where that is taken back"
        ),
        Event::Deferred { .. } => "taken; its sender asks later for the answer".to_owned(),
        Event::Matched { .. } => "the member was found".to_owned(),
        Event::Filed { created, updated, unchanged, deleted, .. } => format!(
            "filed: {created} created, {updated} updated, {unchanged} unchanged, {deleted} deleted"
        ),
        Event::NotFiled { issues } => format!("not filed: {}", codes(issues)),
        Event::WatchBegan { from, .. } => format!("watch of a patient began, from {from} on"),
        Event::Watched { sights, .. } => {
            let told = sights.iter().filter(|sight| sight.trigger.is_some()).count();
            format!("a patient's chart looked at: {told} news, {} records noted", sights.len())
        }
        Event::WatchPutOff { issue, .. } => {
            format!("a patient's chart was not looked at: {}", issue.code.row().title)
        }
        Event::WatchEnded { .. } => "watch of a patient ended".to_owned(),
        Event::EndpointFound { payer, answer } => match &answer.choice.chosen {
            Some(chosen) => format!(
                "directory {} names {} for {payer}, {} others not taken",
                answer.directory,
                chosen.endpoint.address,
                answer.choice.rejected.len()
            ),
            None => format!("no directory names an endpoint for {payer} that would do"),
        },
        Event::EndpointKept { payer, until, .. } => {
            format!("no directory answers: the last answer for {payer} is used until {until}")
        }
        Event::EndpointLost { payer, endpoint, .. } => {
            format!("{payer} is not at {endpoint} any more; directories are asked again")
        }
        Event::EndpointApproved { payer, endpoint, who, .. } => {
            format!("{} ({}) approved {endpoint} for {payer}", who.name, who.role)
        }
        Event::DoorStated { payer, stated } => match stated.changed.is_empty() {
            true => format!("first statement of {payer} at {}", stated.endpoint),
            false => format!("{payer} changed its statement: {}", stated.changed.join("; ")),
        },
        Event::SendingOpened { payer, pull: Some(_), .. } => {
            format!("{payer} asked for an export of its members' histories")
        }
        Event::SendingOpened { payer, until, .. } => {
            format!("bulk submission to {payer} opened; it gathers pushes until {until}")
        }
        Event::SendingKeptOpen { until } => format!("more pushes are gathered, until {until}"),
        Event::PullSpread { members } => format!("{members} histories were asked for"),
        Event::SendingClosed { missing: missing @ 1.., .. } => {
            format!("nothing more is gathered; {missing} histories were not ready")
        }
        Event::SendingClosed { who: Some(who), .. } => format!("closed by {}", person(who)),
        Event::SendingClosed { who: None, .. } => "nothing more is gathered".to_owned(),
        Event::Submitted { submission } => format!("goes with the bulk submission {submission}"),
        Event::Returned { issue } => {
            format!("goes with that bulk submission no more: {}", issue.detail)
        }
        Event::ManifestMade { manifest, replaces, pushes, resources, files, bytes, .. } => {
            let instead = replaces.map(|it| format!(" in the place of {it}")).unwrap_or_default();
            format!(
                "manifest {manifest} made{instead}: {pushes} pushes, {resources} resources, \
                 {files} files, {bytes} bytes"
            )
        }
        Event::SendingTold { message } => format!("the payer was told of {message}"),
        Event::SendingAnswered { back, .. } => format!("the payer has done with it{back}"),
        Event::SendingPartly { files, errors } => {
            format!("the payer has said so far: {files} files of outcomes, {errors} errors in them")
        }
        Event::FilesAwaited {} => "done once the payer has fetched its files".to_owned(),
        Event::SendingStopAsked { who } => format!("to be stopped, says {}", person(who)),
        Event::SendingEnded { end, until, .. } => {
            format!("{}; its files are served until {until}", end.words())
        }
        Event::FilesWithdrawn {} => "its files are served no more".to_owned(),
        Event::FileFetched { file, from: 0, .. } => format!("the payer fetches {file}"),
        Event::FileFetched { file, from, .. } => {
            format!("the payer fetches {file} from byte {from} on")
        }
        Event::FileRefused { file, issue } => format!("{file} was not given: {}", issue.detail),
        Event::FileGiven { file } => format!("the payer has fetched {file} to its end"),
        Event::PullDeleted {} => "the payer wants no more of it".to_owned(),
        Event::Unfetched { issue } => format!("not fetched: {}", issue.detail),
        Event::WentAsync { by, issue } => format!("{}; {by} goes in its place", issue.detail),
        Event::Purged { days, resources, .. } => {
            format!("contents of {resources} resources purged, {days} days after it ended")
        }
    }
}

fn person(who: &Who) -> String {
    format!("{} ({}): {}", who.name, who.role, who.why)
}

fn codes(issues: &[crate::Issue]) -> String {
    let mut codes: Vec<_> = issues.iter().map(|issue| issue.code.row().slug).collect();
    codes.dedup();
    codes.join(", ")
}
