//! Trust: who is at the door, and what they may do.
//!
//! Comes in   registered credentials; scopes as text.
//! Goes out   a `Caller` that every handler gets, and yes or no.
//! Never      takes a caller's word for who it is: a `Caller` is made only by a gate.
//!
//! Why a folder: each way to sign in (SMART Backend Services, UDAP) is one folder below.

pub mod introduction;
pub mod jwks;
mod jwt;
pub mod mutual;
pub(crate) mod oauth;
pub mod scope;
mod sign_in;
pub mod smart;
mod tokens;
pub mod udap;

pub use sign_in::{Purposes, SignIn, SignInError};

use exchange::{Code, Issue, Purpose};

/// One partner's registration: exactly one house and partner per client id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The client id with which the partner signs in.
    pub client_id: String,
    /// The partner's name in this house.
    pub partner: String,
    /// The partner's public keys, a JWK Set (RFC 7517) with a `kid` on each key.
    pub jwks: serde_json::Value,
    /// The scopes the partner may ask for, each as in SMART v2, v1, or plain.
    pub scopes: Vec<String>,
}

/// Who signed in, as a gate found it. Never who a body claims to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The client id of the credential.
    pub client_id: String,
    /// The partner's name in this house.
    pub partner: String,
    /// The scopes granted and still registered.
    pub scopes: Vec<String>,
    /// The purposes that the token is good for; `None` where the way of signing in says nothing of
    /// purposes.
    pub purposes: Option<Purposes>,
}

impl Caller {
    /// Whether the granted scopes cover this one: `system/Type.cruds` (SMART v2), `.read`,
    /// `.write`, `.*` (v1), or a plain one such as `system/bulk-submit` by equality.
    pub fn may(&self, scope: &str) -> bool {
        scope::covers(&self.scopes, scope)
    }

    /// The queries of those granted scopes that open a letter on a resource type for what they find.
    pub(crate) fn narrowed(&self, kind: &str, letter: char) -> Vec<&str> {
        scope::narrowed(&self.scopes, kind, letter)
    }

    /// Requires one of the letters `c r u d s` on a resource type.
    ///
    /// Errors: `ScopeMissing`, naming the scope.
    pub fn require(&self, kind: &str, letter: char) -> Result<(), Issue> {
        self.require_scope(&format!("system/{kind}.{letter}"))
    }

    /// Requires that a token given for purposes is good for this one. Errors: `ScopeMissing`.
    pub fn require_purpose(&self, purpose: Purpose) -> Result<(), Issue> {
        if self.purposes.as_ref().is_none_or(|purposes| purposes.contains(&purpose)) {
            return Ok(());
        }
        let detail = format!("this request needs a token for the purpose of use {purpose}");
        Err(Issue::new(Code::ScopeMissing, detail))
    }

    /// Requires a scope as text. Errors: `ScopeMissing`, naming the scope.
    pub fn require_scope(&self, scope: &str) -> Result<(), Issue> {
        if self.may(scope) {
            return Ok(());
        }
        Err(Issue::new(Code::ScopeMissing, format!("this request needs the scope {scope}")))
    }

    /// What of an export its scopes cover: of these types, sorted; `None`: all there are. What was
    /// `named` and is not covered is refused.
    ///
    /// Errors: `ScopeMissing`, naming the scope.
    pub fn exported(
        &self,
        kinds: Option<Vec<String>>,
        named: bool,
    ) -> Result<Option<Vec<String>>, Issue> {
        if self.may("system/*.rs") {
            return Ok(kinds);
        }
        let scope = |kind: &str| format!("system/{kind}.rs");
        let kinds = kinds.unwrap_or_else(|| {
            let all = fhir::r4::Type::all().filter(|one| one.is_resource());
            all.map(|one| one.name().to_owned()).collect()
        });
        if named {
            kinds.iter().try_for_each(|kind| self.require_scope(&scope(kind)))?;
            return Ok(Some(kinds));
        }
        let kinds: Vec<String> = kinds.into_iter().filter(|kind| self.may(&scope(kind))).collect();
        if kinds.is_empty() {
            self.require_scope("system/*.rs")?;
        }
        Ok(Some(kinds))
    }
}
