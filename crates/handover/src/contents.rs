//! Contents: where a house keeps those that are too large for their row.
//!
//! Comes in   `[blobs]` of `house.toml`; the file of an access key, or the environment.
//! Goes out   the place, not called yet.
//! Never      says a secret in words, and takes none from `house.toml`.

use crate::config::{House, S3File};
use exchange::{Code, Issue};
use repository::store_issue;
use std::path::Path;
use store::{Blobs, S3Credentials, S3Place};

/// The names under which an access key is given, by file and by environment.
const ID: (&str, &str) = ("aws_access_key_id", "AWS_ACCESS_KEY_ID");
const SECRET: (&str, &str) = ("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY");
const TOKEN: (&str, &str) = ("aws_session_token", "AWS_SESSION_TOKEN");

/// The place that the configuration names; `None`: it names none, so they lie in `store`.
///
/// # Errors
/// `ConfigInvalid`; `StoreUnavailable` when a folder cannot be made.
pub fn place(config: &House) -> Result<Option<Blobs>, Issue> {
    let Some(blobs) = &config.file.blobs else { return Ok(None) };
    match (&blobs.folder, &blobs.s3) {
        (Some(folder), None) => Blobs::folder(&config.path(folder)).map(Some).map_err(store_issue),
        (None, Some(s3)) => storage(config, s3).map(Some),
        _ => Err(invalid("either a folder or [blobs.s3] is named, not both", "blobs")),
    }
}

/// Whether the place that the configuration names is there, in words.
///
/// # Errors
/// As `place`; `StoreUnavailable` when it does not answer, or not to this house.
pub async fn reach(config: &House) -> Result<String, Issue> {
    let Some(place) = place(config)? else { return Ok("in the store's folder".to_owned()) };
    place.reach().await.map_err(store_issue)?;
    Ok(format!("reached: {place}"))
}

fn storage(config: &House, s3: &S3File) -> Result<Blobs, Issue> {
    let credentials = match &s3.credentials {
        Some(path) => {
            let text = config.text(path)?;
            credentials(|(name, _)| in_file(&text, name), &path.display().to_string())?
        }
        None => credentials(|(_, name)| std::env::var(name).ok(), "the environment")?,
    };
    let place = S3Place {
        endpoint: s3.endpoint.clone(),
        region: s3.region.clone(),
        bucket: s3.bucket.clone(),
        prefix: s3.prefix.clone().unwrap_or_default(),
        credentials,
        authority: s3.authority.as_deref().map(|path: &Path| config.text(path)).transpose()?,
    };
    Blobs::s3(place).map_err(|error| {
        let why = std::error::Error::source(&error).map(ToString::to_string);
        tracing::debug!(why, "the storage cannot be used");
        let detail = "this is no S3 storage: endpoint (https://, or http:// on this machine), \
            bucket, prefix and authority (PEM) must fit";
        invalid(detail, "blobs.s3")
    })
}

fn credentials(
    find: impl Fn((&str, &str)) -> Option<String>,
    place: &str,
) -> Result<S3Credentials, Issue> {
    let given = |name| find(name).filter(|value| !value.is_empty());
    match (given(ID), given(SECRET)) {
        (Some(id), Some(secret)) => Ok(S3Credentials::new(id, secret, given(TOKEN))),
        _ => {
            let detail = "the storage's access key is not there: its id and its secret are needed";
            Err(Issue::new(Code::ConfigInvalid, detail).at(place.to_owned()))
        }
    }
}

/// A value of a file in the form of Amazon's `credentials`: `name = value`, a line each.
fn in_file(text: &str, name: &str) -> Option<String> {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    let mut values = pairs.filter(|(found, _)| found.trim().eq_ignore_ascii_case(name));
    values.next().map(|(_, value)| value.trim().to_owned())
}

fn invalid(detail: &str, place: &str) -> Issue {
    Issue::new(Code::ConfigInvalid, detail).at(format!("house.toml: {place}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_access_key_is_read_from_a_file_as_others_write_it() {
        let text = "# ours\n[default]\naws_access_key_id = AKIA\n\
            AWS_SECRET_ACCESS_KEY=a/b+c==\r\nregion = x\n";
        let find = |name: (&str, &str)| in_file(text, name.0);
        assert_eq!(find(ID).as_deref(), Some("AKIA"));
        assert_eq!(find(SECRET).as_deref(), Some("a/b+c=="));
        assert_eq!(find(TOKEN), None);
        let words = format!("{:?}", credentials(find, "keys/storage").unwrap());
        assert!(!words.contains("a/b"), "{words}");
        for wrong in ["", "aws_access_key_id = AKIA", "aws_access_key_id = AKIA\nsecret = x"] {
            let issue = credentials(|name| in_file(wrong, name.0), "keys/storage").unwrap_err();
            assert_eq!(issue.code, Code::ConfigInvalid, "{wrong:?}");
        }
    }
}
