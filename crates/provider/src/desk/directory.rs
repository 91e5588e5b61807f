//! Directory: payers' endpoints, for people.
//!
//! Comes in   whom to look for; an approval.
//! Goes out   what directories say now, what is used, and what the door says.
//! Never      goes by what is remembered: who asks wants to know how it is.

use super::Desk;
use crate::setup::Payer;
use exchange::desk::{CheckLine, DirectoryCommand, DirectoryFound, Door, IssueWords, Reply};
use exchange::endpoint::{Choice, Sought};
use exchange::{Code, Digest, Issue, PartnerId, Who};
use wire::Clock as _;

impl Desk {
    pub(super) async fn directory(&self, command: DirectoryCommand) -> Result<Reply, Issue> {
        match command {
            DirectoryCommand::Find { payer, who } => self.find_endpoint(&payer, who).await,
            DirectoryCommand::Approve { payer, identity, who } => {
                self.approve(&payer, identity, who).await
            }
        }
    }

    async fn find_endpoint(&self, words: &str, who: Who) -> Result<Reply, Issue> {
        self.looked(who, "Endpoint".into()).await?;
        let now = self.road.clock.now();
        let sought = Sought::of_words(words);
        let Some(name) = self.partner_named(words, &sought)? else {
            let asked = self.road.ask(&sought, now).await;
            let (directory, choice) = match asked.found {
                Some((named, choice)) => (Some(named.name), choice),
                None => (None, asked.none),
            };
            let identity = identity(&choice);
            return Ok(Reply::DirectoryFound(Box::new(DirectoryFound {
                sought,
                asked: asked.words,
                directory,
                choice,
                identity,
                before: None,
                vouched: None,
                until: None,
                door: None,
            })));
        };
        let payer = self.road.payer(&name)?;
        let sought = self.road.sought(payer)?;
        self.road.doors.forget(&name);
        if self.road.directories.only_pinned().is_some() {
            let asked = self.road.ask(&sought, now).await;
            let door = self.road.route(payer).await.map_err(|issue| IssueWords::from(&issue));
            let choice = asked.found.map(|(_, choice)| choice).unwrap_or_default();
            return Ok(Reply::DirectoryFound(Box::new(DirectoryFound {
                sought,
                asked: asked.words,
                directory: Some("pinned".to_owned()),
                identity: identity(&choice),
                choice,
                before: None,
                vouched: Some(exchange::directory::Vouched::PublicFile),
                until: None,
                door: Some(door),
            })));
        }
        let (standing, asked) = self.road.ask_anew(payer, now).await?;
        let vouched = self.road.who_vouches(payer, &standing).await;
        let door = match vouched {
            Some(_) => Some(self.road.route(payer).await.map_err(|issue| IssueWords::from(&issue))),
            None => None,
        };
        Ok(Reply::DirectoryFound(Box::new(DirectoryFound {
            sought,
            asked: asked.words,
            directory: Some(standing.answer.directory.clone()),
            identity: standing.identity(),
            before: standing.before,
            vouched,
            until: Some(standing.until),
            choice: standing.answer.choice,
            door,
        })))
    }

    /// How the payer's address came to be used, and what its door says of itself since when.
    pub(super) async fn check_endpoint(
        &self,
        payer: &Payer,
        door: Option<&Door>,
    ) -> Vec<CheckLine> {
        let name = &payer.public.name;
        let mut lines = Vec::new();
        // A door that is shut tells its own story; how its address was found is told all the same.
        if let Ok((_, Some(endpoint))) = self.road.endpoint(payer).await {
            let found = match &endpoint.stale {
                Some(words) => Err(Issue {
                    detail: format!("{}; {}", words.issue.detail, endpoint.words()),
                    ..words.issue.clone()
                }),
                None => Ok(endpoint.words()),
            };
            lines.push(CheckLine::of(format!("payer {name}: endpoint"), found));
        }
        let Some(door) = door else { return lines };
        let noted = match self.road.note_statement(payer, door).await {
            Ok(()) => self.road.standing_of(name).await,
            Err(issue) => Err(issue),
        };
        let stated = noted.map(|it| it.and_then(|(standing, _)| standing.statement));
        let found = match stated {
            Err(issue) => Err(issue),
            Ok(None) => return lines,
            Ok(Some(stated)) if stated.changed.is_empty() => {
                Ok(format!("as it was first seen at {}", stated.since))
            }
            Ok(Some(stated)) => {
                Ok(format!("changed at {}: {}", stated.since, stated.changed.join("; ")))
            }
        };
        lines.push(CheckLine::of(format!("payer {name}: statement"), found));
        lines
    }

    async fn approve(
        &self,
        payer: &str,
        identity: Option<Digest>,
        who: Who,
    ) -> Result<Reply, Issue> {
        let payer = self.road.payer(&payer.into())?;
        let approved = self.road.approve(payer, identity, who).await?;
        self.wake.notify_one();
        Ok(Reply::EndpointApproved(approved))
    }

    /// The partner of this house that the words name: by its name here, or by an identifier of its
    /// public file or of the table of payers.
    fn partner_named(&self, words: &str, sought: &Sought) -> Result<Option<PartnerId>, Issue> {
        let payers = &self.road.setup.payers;
        let name: PartnerId = words.into();
        if payers.contains_key(&name) {
            return Ok(Some(name));
        }
        let Some(identifier) = sought.identifiers.first() else { return Ok(None) };
        let by_file =
            payers.iter().find(|(_, it)| it.public.payer_identifiers.contains(identifier));
        if let Some((name, _)) = by_file {
            return Ok(Some(name.clone()));
        }
        let crosswalk = self.road.crosswalk()?;
        let found = crosswalk.partner(identifier).filter(|it| payers.contains_key(*it));
        if identifier.value.is_empty() {
            let detail = "an identifier is written as system|value";
            return Err(Issue::new(Code::CommandInvalid, detail).at("payer"));
        }
        Ok(found.cloned())
    }
}

fn identity(choice: &Choice) -> Option<Digest> {
    choice.chosen.as_ref().map(|it| it.endpoint.identity())
}
