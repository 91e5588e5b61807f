//! Fault: what goes wrong at a stranger's door, and at which request.
//!
//! Comes in   lines such as `write:1-3=server-error`.
//! Goes out   for every request, in the order they come, the fault that is planned for it or none.
//! Never      draws anything: the same requests in the same order meet the same faults.

use std::fmt;
use std::str::FromStr;

/// A way in which an exchange goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// 500, and nothing is stored.
    ServerError,
    /// 500, although it is stored.
    ServerErrorStored,
    /// Nothing is stored, and no answer ever comes.
    Hang,
    /// It is stored, and no answer ever comes.
    HangStored,
    /// The connection is closed before the body is read.
    CutBeforeBody,
    /// It is stored, and the connection is closed before the answer.
    CutAfterBody,
    /// 429 with `Retry-After` in these seconds.
    TooManyRequests(u32),
    /// It is stored, and a page for people is answered with 200.
    Html,
    /// It is stored, and the answer breaks off in the middle of its JSON.
    BrokenJson,
    /// It is stored, and JSON that is no FHIR is answered.
    WrongJson,
    /// It is stored, and answered twice over the same connection.
    AnsweredTwice,
    /// It is stored, and the answer of the write before is given once more.
    AnsweredBefore,
    /// It is stored, and the answer comes in small pieces, to its end.
    Slow,
    /// It is stored, and the answer comes so slowly that nobody waits for its end.
    Drip,
    /// 202 with `Content-Location` and no body, and it is stored at once.
    Accepted,
    /// The same, and nothing is stored: a job that has not been begun, or fails.
    AcceptedUnstored,
}

/// Every way in which an answer goes wrong, once; 429 asks for one second.
pub const FAULTS: [Fault; 14] = [
    Fault::ServerError,
    Fault::ServerErrorStored,
    Fault::Hang,
    Fault::HangStored,
    Fault::CutBeforeBody,
    Fault::CutAfterBody,
    Fault::TooManyRequests(1),
    Fault::Html,
    Fault::BrokenJson,
    Fault::WrongJson,
    Fault::AnsweredTwice,
    Fault::AnsweredBefore,
    Fault::Slow,
    Fault::Drip,
];

/// Ways to take a request without a word on what comes of it.
pub const ACCEPTS: [Fault; 2] = [Fault::Accepted, Fault::AcceptedUnstored];

impl Fault {
    /// Its name, as people type it.
    pub fn name(self) -> &'static str {
        match self {
            Fault::ServerError => "server-error",
            Fault::ServerErrorStored => "server-error-stored",
            Fault::Hang => "hang",
            Fault::HangStored => "hang-stored",
            Fault::CutBeforeBody => "cut-before-body",
            Fault::CutAfterBody => "cut-after-body",
            Fault::TooManyRequests(_) => "too-many-requests",
            Fault::Html => "html",
            Fault::BrokenJson => "broken-json",
            Fault::WrongJson => "wrong-json",
            Fault::AnsweredTwice => "answered-twice",
            Fault::AnsweredBefore => "answered-before",
            Fault::Slow => "slow",
            Fault::Drip => "drip",
            Fault::Accepted => "accepted",
            Fault::AcceptedUnstored => "accepted-unstored",
        }
    }

    /// Whether the request is carried out all the same.
    pub fn stores(self) -> bool {
        !matches!(
            self,
            Fault::ServerError
                | Fault::Hang
                | Fault::CutBeforeBody
                | Fault::TooManyRequests(_)
                | Fault::AcceptedUnstored
        )
    }
}

/// Which requests are counted, by what their first line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Traffic {
    /// `GET metadata`.
    Statement,
    /// The sign-in.
    Token,
    /// All other GETs, and searches by POST.
    Read,
    /// Everything that changes something.
    Write,
}

/// Faults at the requests from one number to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// Which requests are counted.
    pub traffic: Traffic,
    /// The first, counted from 1.
    pub from: u64,
    /// The last.
    pub to: u64,
    /// What happens.
    pub fault: Fault,
}

impl Planned {
    /// A fault at one request.
    pub fn at(traffic: Traffic, number: u64, fault: Fault) -> Planned {
        Planned { traffic, from: number, to: number, fault }
    }

    /// A fault at this request and all after it.
    pub fn from(traffic: Traffic, number: u64, fault: Fault) -> Planned {
        Planned { traffic, from: number, to: u64::MAX, fault }
    }
}

/// All that goes wrong; where two lines name the same request, the first one counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schedule(pub Vec<Planned>);

impl Schedule {
    /// The fault of the n-th request of a kind.
    pub fn fault(&self, traffic: Traffic, number: u64) -> Option<Fault> {
        let here = |it: &&Planned| it.traffic == traffic && it.from <= number && number <= it.to;
        self.0.iter().find(here).map(|planned| planned.fault)
    }
}

/// What a line of a schedule has to look like.
const FORM: &str = "write it as write:2=hang, read:1-3=html or statement:1-=server-error";

impl FromStr for Planned {
    type Err = String;

    /// Reads `write:2=hang`, `read:1-3=html`, `statement:1-=server-error`,
    /// `write:1=too-many-requests/30`.
    fn from_str(text: &str) -> Result<Planned, String> {
        let parts = text.split_once('=').and_then(|(place, fault)| {
            let (traffic, numbers) = place.split_once(':')?;
            Some((traffic, numbers, fault))
        });
        let (traffic, numbers, fault) = parts.ok_or(FORM)?;
        let traffic = match traffic {
            "statement" => Traffic::Statement,
            "token" => Traffic::Token,
            "read" => Traffic::Read,
            "write" => Traffic::Write,
            _ => return Err(format!("requests are statement, token, read or write; {FORM}")),
        };
        let number = |text: &str| text.parse::<u64>().ok().filter(|&number| number > 0);
        let (from, to) = match numbers.split_once('-') {
            Some((from, "")) => (number(from), Some(u64::MAX)),
            Some((from, to)) => (number(from), number(to)),
            None => (number(numbers), number(numbers)),
        };
        let (Some(from), Some(to)) = (from, to) else { return Err(FORM.to_owned()) };
        if to < from {
            return Err(format!(
                "`{from}-{to}` ends before it begins and would never happen; {FORM}"
            ));
        }
        Ok(Planned { traffic, from, to, fault: fault.parse()? })
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Fault, String> {
        let (name, seconds) = match text.split_once('/') {
            Some((name, seconds)) => (name, seconds.parse().ok()),
            None => (text, Some(1)),
        };
        let known = FAULTS.into_iter().chain(ACCEPTS).find(|fault| fault.name() == name);
        match (known, seconds) {
            (Some(Fault::TooManyRequests(_)), Some(seconds)) => Ok(Fault::TooManyRequests(seconds)),
            (Some(fault), _) if fault.name() == text => Ok(fault),
            _ => {
                let names: Vec<&str> = FAULTS.into_iter().chain(ACCEPTS).map(Fault::name).collect();
                Err(format!("faults are {}", names.join(", ")))
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}
