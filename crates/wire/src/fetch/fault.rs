//! Fault: why a manifest or a file could not be fetched, and what helps.
//!
//! Comes in   answers and their lack; what does not hold in what came.
//! Goes out   whether it passes by itself, how long to wait, and the issue for people.
//! Never      shows a URL: one may be all that protects a file.

use crate::limits::{FETCH_ATTEMPTS_MAX, FETCH_PAUSE_MAX};
use crate::transport::TransportError;
use crate::trust::SignInError;
use exchange::{Code, Issue};
use std::time::Duration;

/// Why there are no bytes, or no more. `Display` is safe to show; causes are for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No answer, or the server cannot answer now.
    #[error("the file server does not answer")]
    Unreachable {
        /// For the log.
        cause: String,
        /// How long the server asks us to wait, where it says so.
        retry_after: Option<Duration>,
    },
    /// The connection ended, or came to a stop, before the file did.
    #[error("the connection ended before the file did")]
    Cut(String),
    /// No token.
    #[error("no token could be got for the file server: {0}")]
    SignIn(SignInError),
    /// The server refused with this status.
    #[error("the file server answered {0}")]
    Refused(u16),
    /// The server's certificate is not trusted.
    #[error("the certificate of the file server is not trusted")]
    Untrusted(String),
    /// The URL, or where it leads, is not among what was agreed on.
    #[error("the URL is not one that this house asks: {0}")]
    NotAgreed(&'static str),
    /// The file is another one than at the attempt before: what was read of it does not count.
    #[error("the file changed between two attempts")]
    Changed,
    /// What came is not what it must be.
    #[error("what the file server sent cannot be read: {0}")]
    Invalid(&'static str),
}

impl Fault {
    /// Whether the same attempt can succeed later without anybody changing anything.
    pub fn is_passing(&self) -> bool {
        match self {
            Fault::Unreachable { .. } | Fault::Cut(_) => true,
            Fault::SignIn(error) => error.is_passing(),
            _ => false,
        }
    }

    /// How long to wait before the next attempt, after so many that brought nothing new (the first is
    /// 1); `None` where no other attempt helps, or enough were made. What the server asks for counts,
    /// where it is longer.
    pub fn pause(&self, attempts: u32) -> Option<Duration> {
        if !self.is_passing() || attempts >= FETCH_ATTEMPTS_MAX {
            return None;
        }
        let asked = match self {
            Fault::Unreachable { retry_after, .. }
            | Fault::SignIn(SignInError::Unreachable { retry_after, .. }) => *retry_after,
            _ => None,
        };
        let own = Duration::from_secs(1 << attempts.min(16)).min(FETCH_PAUSE_MAX);
        Some(asked.unwrap_or_default().max(own))
    }

    /// The issue, at a place that the caller names: `output[3]`, never a URL.
    pub fn issue(&self, place: &str) -> Issue {
        Issue::new(self.code(), self.to_string()).at(place)
    }

    fn code(&self) -> Code {
        match self {
            fault if fault.is_passing() => Code::FileUnreachable,
            Fault::NotAgreed(_) | Fault::Untrusted(_) => Code::FileNotAgreed,
            Fault::Changed => Code::FileChanged,
            Fault::Invalid(_) => Code::FileInvalid,
            _ => Code::FileRefused,
        }
    }
}

impl From<SignInError> for Fault {
    fn from(error: SignInError) -> Fault {
        Fault::SignIn(error)
    }
}

impl From<TransportError> for Fault {
    fn from(error: TransportError) -> Fault {
        match error {
            TransportError::NotSent(cause) | TransportError::Unknown(cause) => {
                Fault::Unreachable { cause, retry_after: None }
            }
            TransportError::Untrusted(cause) => Fault::Untrusted(cause),
            TransportError::BeyondReach => {
                Fault::NotAgreed("it leads to an address of a private network")
            }
            TransportError::AnswerTooLarge => Fault::Invalid("it is larger than this house reads"),
        }
    }
}

#[cfg(test)]
mod tests {
    //! Goal: whoever reads a fault knows whether waiting helps, and nobody waits for ever.

    use super::*;

    fn unreachable(seconds: Option<u64>) -> Fault {
        let retry_after = seconds.map(Duration::from_secs);
        Fault::Unreachable { cause: "connect".into(), retry_after }
    }

    #[test]
    fn every_fault_passes_or_is_somebodys_work() {
        let refused = SignInError::Refused("400".into());
        let away = SignInError::Unreachable { cause: "connect".into(), retry_after: None };
        let table = [
            (unreachable(None), true, Code::FileUnreachable),
            (Fault::Cut("reset".into()), true, Code::FileUnreachable),
            (Fault::SignIn(away), true, Code::FileUnreachable),
            (Fault::SignIn(refused), false, Code::FileRefused),
            (Fault::Refused(404), false, Code::FileRefused),
            (Fault::Untrusted("issuer".into()), false, Code::FileNotAgreed),
            (Fault::NotAgreed("its origin"), false, Code::FileNotAgreed),
            (Fault::Changed, false, Code::FileChanged),
            (Fault::Invalid("not gzip"), false, Code::FileInvalid),
        ];
        for (fault, passing, code) in table {
            assert_eq!(fault.is_passing(), passing, "{fault:?}");
            assert_eq!(fault.pause(1).is_some(), passing, "{fault:?}");
            let issue = fault.issue("output[3]");
            assert_eq!((issue.code, issue.expression.as_deref()), (code, Some("output[3]")));
        }
    }

    #[test]
    fn attempts_come_ever_later_and_end() {
        let pauses: Vec<_> = (1..).map_while(|attempt| unreachable(None).pause(attempt)).collect();
        assert_eq!(pauses.first(), Some(&Duration::from_secs(2)));
        assert!(pauses.is_sorted());
        assert_eq!(pauses.last(), Some(&FETCH_PAUSE_MAX));
        assert_eq!(unreachable(Some(7_200)).pause(1), Some(Duration::from_secs(7_200)));
        assert_eq!(unreachable(Some(0)).pause(1), Some(Duration::from_secs(2)), "its own pace");
        assert_eq!(Fault::Cut(String::new()).pause(FETCH_ATTEMPTS_MAX), None);
    }
}
