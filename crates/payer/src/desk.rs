//! Desk: what a person can ask of a receiving house.
//!
//! Comes in   commands, from the house's own API or the command line.
//! Goes out   replies in the same words as everywhere.
//! Never      files or refuses without saying who decided it.

use crate::arrival::gone_on;
use crate::bulk;
use crate::limits::{LIST_ROWS, LIST_ROWS_MAX};
use crate::registrations::Registrations;
use crate::road::Road;
use crate::setup::Sender;
use exchange::desk::{CheckLine, Command, IssueWords, RegistrationCommand, Reply, Row, Shown};
use exchange::submission::{Submission, SubmissionState};
use exchange::{Code, Event, Issue, PartnerId, Phi, Who};
use repository::{Kept, Purging, lookup, retain, store_issue};
use std::sync::Arc;
use store::{Commit, Grounds, House, StoredWork, WorkKind};

/// The desk of a receiving house.
pub struct Desk {
    road: Arc<Road>,
    ledger: Grounds,
    registrations: Option<Arc<Registrations>>,
}

impl Desk {
    /// A desk; `ledger` is what the ledger is proved against.
    pub fn new(road: Arc<Road>, ledger: impl Into<Grounds>) -> Desk {
        Desk { road, ledger: ledger.into(), registrations: None }
    }

    /// The same, where clients register by UDAP.
    pub fn with_registrations(self, registrations: Arc<Registrations>) -> Desk {
        Desk { registrations: Some(registrations), ..self }
    }

    async fn registration(&self, command: RegistrationCommand) -> Result<Reply, Issue> {
        let Some(registrations) = &self.registrations else {
            let detail = "this house has no [udap]: nobody registers here";
            return Err(Issue::new(Code::CommandInvalid, detail).at("command"));
        };
        Ok(Reply::Registrations(registrations.command(command).await?))
    }

    /// Carries a command out.
    pub async fn command(&self, command: Command) -> Result<Reply, Issue> {
        match command {
            Command::List { states, limit } => self.list(states, limit).await,
            Command::Show { id, page } => self.show(&id, page).await,
            Command::Release { id, who, member } => self.release(&id, who, member).await,
            Command::Withdraw { id, who, .. } => self.refuse(&id, who).await,
            Command::Check {} => Ok(Reply::Checked { lines: self.check().await }),
            Command::Retention { dry_run } => {
                retain(&self.road.house, self, self.road.clock.now(), dry_run).await
            }
            Command::Verify { witness } => {
                lookup::verify(&self.road.house, &self.ledger, &witness).await
            }
            Command::Backup { .. } => {
                Err(Issue::new(Code::CommandInvalid, "the house makes its backups itself"))
            }
            Command::Partner(_) => {
                let detail = "the house itself suspends and resumes the exchange with partners";
                Err(Issue::new(Code::CommandInvalid, detail))
            }
            Command::Registration(command) => self.registration(command).await,
            Command::Directory(_) => {
                let detail = "this house receives; directories are a provider's";
                Err(Issue::new(Code::CommandInvalid, detail).at("command"))
            }
            Command::Reload {} => {
                Err(Issue::new(Code::CommandInvalid, "the house takes its files up itself"))
            }
            Command::Submission(_) => {
                let detail = "this house receives; those it was told of are with all else: handover list, \
                    and show ID";
                Err(Issue::new(Code::CommandInvalid, detail).at("command"))
            }
            Command::Payor(_) | Command::Restriction(_) => {
                let detail = "this house receives; payors and restrictions are a provider's";
                Err(Issue::new(Code::CommandInvalid, detail).at("command"))
            }
            Command::Push { .. }
            | Command::Explain { .. }
            | Command::Find { .. }
            | Command::Probe { .. }
            | Command::Watch {} => {
                let detail = "this house receives; push, explain, find, probe and watch are a \
                    provider's";
                Err(Issue::new(Code::CommandInvalid, detail).at("command"))
            }
        }
    }

    async fn list(&self, states: Vec<String>, limit: Option<u32>) -> Result<Reply, Issue> {
        let limit = limit.unwrap_or(LIST_ROWS).min(LIST_ROWS_MAX);
        let row = |stored: &StoredWork| match stored.work.kind {
            WorkKind::Submission => read(stored).map(|one| Some(row(stored, &one))),
            // They stand below; any other row is no push.
            _ => Ok(None),
        };
        let asked = states.clone();
        let listed = lookup::list(&self.road.house, WorkKind::Submission, states, limit, row);
        let Reply::Listed { mut rows, counts } = listed.await? else {
            return Err(Issue::new(Code::InternalError, "a list is none"));
        };
        let wanted = |one: &Row| asked.is_empty() || asked.contains(&one.state);
        // What waits for a person or a worker of this house stands first, what has ended last.
        let waits = rows.iter().take_while(|one| matches!(one.state.as_str(), "held" | "due"));
        let at = waits.count();
        let open = bulk::shown::rows(&self.road, true, limit).await?.into_iter().filter(wanted);
        let ended = bulk::shown::rows(&self.road, false, limit).await?.into_iter().filter(wanted);
        rows.splice(at..at, open);
        rows.extend(ended);
        rows.truncate(limit as usize);
        Ok(Reply::Listed { rows, counts })
    }

    async fn find(&self, id: &str) -> Result<(StoredWork, Submission), Issue> {
        let stored = lookup::find_work(&self.road.house, id).await?;
        let submission = read(&stored)?;
        Ok((stored, submission))
    }

    async fn show(&self, id: &str, page: bool) -> Result<Reply, Issue> {
        if let Some(stored) = bulk::shown::find(&self.road, id).await?
            && let Some(shown) = bulk::shown::shown(&self.road, &stored).await?
        {
            return Ok(Reply::Shown(Box::new(shown)));
        }
        let (stored, submission) = self.find(id).await?;
        let content = |digest| async move {
            self.road.house.blob(&digest).await.map_err(store_issue).map(Option::unwrap_or_default)
        };
        let acknowledgement = match submission.answer {
            Some(digest) => serde_json::from_slice(&content(digest).await?).ok(),
            None => None,
        };
        let page = match page {
            true => {
                let purged = "the time of this submission is over";
                Some(Phi(lookup::resources(content(submission.digest).await?, purged)?))
            }
            false => None,
        };
        Ok(Reply::Shown(Box::new(Shown {
            row: row(&stored, &submission),
            who: None,
            timeline: lookup::timeline(&self.road.house, &submission.chain()).await?,
            decisions: Vec::new(),
            findings: Vec::new(),
            acknowledgement,
            page,
        })))
    }

    async fn release(
        &self,
        id: &str,
        who: Who,
        member: Option<Phi<String>>,
    ) -> Result<Reply, Issue> {
        let (stored, submission) = self.held(id).await?;
        let member = member.as_ref().map(|Phi(member)| member.as_str());
        let done = self.road.release(&stored, submission, who, member).await;
        done.map_err(|issues| issues.first)?;
        self.standing(&stored.work.id).await
    }

    /// A person decides that a held submission is not filed.
    async fn refuse(&self, id: &str, who: Who) -> Result<Reply, Issue> {
        let (stored, submission) = self.held(id).await?;
        let at = self.road.clock.now();
        let issues = submission.issues.clone();
        let events = [Event::Released { who }, Event::NotFiled { issues }];
        let unit = gone_on(at, &stored, submission, events);
        match self.road.house.commit(unit).await.map_err(store_issue)? {
            Commit::Done { .. } => self.standing(&stored.work.id).await,
            _ => Err(Issue::new(Code::NotWaiting, "it was changed meanwhile; look again")),
        }
    }

    async fn held(&self, id: &str) -> Result<(StoredWork, Submission), Issue> {
        let (stored, submission) = self.find(id).await?;
        if submission.state == SubmissionState::Held {
            return Ok((stored, submission));
        }
        Err(Issue::new(Code::NotWaiting, "it does not wait for a person").at("id"))
    }

    async fn standing(&self, id: &str) -> Result<Reply, Issue> {
        let (stored, submission) = self.find(id).await?;
        let rows = vec![row(&stored, &submission)];
        Ok(Reply::Pushed { trigger: None, rows, issues: Vec::new(), left_alone: 0 })
    }

    async fn check(&self) -> Vec<CheckLine> {
        let members = self.road.register.members().map(|members| match members.len() {
            0 => "no member yet: every push will be held or refused".to_owned(),
            count => format!("{count} members"),
        });
        let mut lines = vec![CheckLine::of("member file", members)];
        let Some(registrations) = &self.registrations else { return lines };
        match registrations.waiting().await {
            Ok(0) => {}
            Ok(count) => {
                let detail = format!(
                    "{count} clients of a community wait until somebody says which partner they are: \
                     `handover partner registrations` shows them"
                );
                let issue = Issue::new(Code::PartnerUnknown, detail);
                lines.push(CheckLine::of("registrations", Err(issue)));
            }
            Err(issue) => lines.push(CheckLine::of("registrations", Err(issue))),
        }
        lines
    }
}

impl Kept for Desk {
    fn partners(&self) -> Vec<(PartnerId, u32)> {
        let senders = self.road.setup.senders.iter();
        let kept = |sender: &Sender| sender.terms.agreement.retention.map(|it| it.content_days);
        senders.filter_map(|(name, sender)| Some((name.clone(), kept(sender)?))).collect()
    }

    async fn purging(&self, stored: &StoredWork, days: u32) -> Result<Option<Purging>, Issue> {
        if stored.work.kind == WorkKind::BulkReceived {
            return bulk::purging(stored, days);
        }
        let submission = read(stored)?;
        let (resources, records) = (submission.entries, Vec::new());
        let purged = Event::Purged { days, resources, records };
        let line = (stored.work.id.clone(), submission.chain(), purged);
        Ok(submission.ended().then_some(line))
    }
}

fn read(stored: &StoredWork) -> Result<Submission, Issue> {
    serde_json::from_slice(&stored.work.body).map_err(|_| lookup::unreadable())
}

/// While a person here has the work, their words come first; the cause stands beside them.
fn issues(submission: &Submission) -> Vec<Issue> {
    let detail = "find the member, then release the submission; or withdraw it";
    let held = submission.state == SubmissionState::Held;
    let first = held.then(|| Issue::new(Code::MemberHeld, detail));
    first.into_iter().chain(submission.issues.iter().cloned()).collect()
}

fn row(stored: &StoredWork, submission: &Submission) -> Row {
    Row {
        id: submission.id.to_string(),
        kind: "submission".into(),
        label: submission.key.clone(),
        partner: Some(submission.sender.clone()),
        subject: None,
        mode: None,
        state: submission.state_word().to_owned(),
        level: None,
        next_at: submission.due(),
        resources: submission.entries,
        withheld: Vec::new(),
        issues: issues(submission).iter().map(IssueWords::from).collect(),
        withdrawn_by: None,
        withdraws: None,
        stands_on: None,
        changed: stored.changed,
    }
}
