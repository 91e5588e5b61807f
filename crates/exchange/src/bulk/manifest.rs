//! Manifest: which files there are (Bulk Data 1.0.0 to 4.0.0-ballot, output manifest).
//!
//! Comes in   a manifest of any version; or the files to be listed.
//! Goes out   what it lists; or the JSON of the ballot, which earlier readers understand.
//! Never      follows a link or a URL: it may be anything, and who fetches decides.

use super::members::Members;
use crate::{Code, Issue};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The canonical URL of what is written here.
const MANIFEST_TYPE: &str = "http://hl7.org/fhir/uv/bulkdata/StructureDefinition/BulkDataManifest";

/// What is read of a manifest.
const ROOT: [&str; 7] = [
    "transactionTime",
    "requiresAccessToken",
    "outputOrganizedBy",
    "outputFormat",
    "output",
    "deleted",
    "link",
];

/// Files of OperationOutcomes: until 3.0.0, and in the ballot.
const MESSAGES: [&str; 2] = ["error", "outcome"];

/// What is read of a file.
const FILE: [&str; 5] = ["url", "type", "count", "fileSize", "continuesInFile"];

/// A manifest, or one page of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its data are of this moment.
    pub transaction_time: Timestamp,
    /// Whether its files need the token that the manifest needs.
    pub requires_access_token: bool,
    /// The type that files are organised by; `None`: each file has one type.
    pub organized_by: Option<String>,
    /// Files of resources.
    pub output: Vec<File>,
    /// Files of transaction Bundles of deletions.
    pub deleted: Vec<File>,
    /// The next page, as written.
    pub next: Option<String>,
}

/// A file of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it is, as written: absolute by the guides, relative in the field.
    pub url: String,
    /// The type of its resources; none where files are organised.
    pub kind: Option<String>,
    /// How many resources it has.
    pub count: Option<u64>,
    /// How many bytes.
    pub size: Option<u64>,
    /// The file in which its last block goes on.
    pub continues_in: Option<String>,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// `ManifestInvalid`, naming the place.
    pub fn read(body: &[u8]) -> Result<Manifest, Issue> {
        let root = Members::read(body, &ROOT)?;
        let time = root.text("", "transactionTime")?.and_then(|text| text.parse().ok());
        let transaction_time =
            time.ok_or_else(|| invalid("transactionTime", "an instant is needed"))?;
        let requires = root.truth("requiresAccessToken");
        let requires_access_token =
            requires.ok_or_else(|| invalid("requiresAccessToken", "true or false is needed"))?;
        // The draft's program writes an empty text where files have types.
        let organized_by = root.text("", "outputOrganizedBy")?.filter(|kind| !kind.is_empty());
        let format = root.text("", "outputFormat")?;
        let media = format.as_deref().and_then(|format| format.split(';').next()).map(str::trim);
        if media.is_some_and(|media| !super::NDJSON_SPELLINGS.contains(&media)) {
            return Err(invalid("outputFormat", "files are application/fhir+ndjson here"));
        }
        let output = files(&root, "output")?;
        if organized_by.is_none()
            && let Some(at) = output.iter().position(|file| file.kind.is_none())
        {
            return Err(invalid(format!("output[{at}].type"), "the type of the file is needed"));
        }
        let deleted = files(&root, "deleted")?;
        let next = next(&root)?;
        Ok(Manifest {
            transaction_time,
            requires_access_token,
            organized_by,
            output,
            deleted,
            next,
        })
    }

    /// Of a manifest, the files of OperationOutcomes, each list under its name: `error` (until 3.0.0),
    /// `outcome` (ballot).
    ///
    /// # Errors
    /// `ManifestInvalid`, naming the place.
    pub fn messages(body: &[u8]) -> Result<[(&'static str, Vec<File>); 2], Issue> {
        let root = Members::read(body, &MESSAGES)?;
        let [error, outcome] = MESSAGES;
        Ok([(error, files(&root, error)?), (outcome, files(&root, outcome)?)])
    }

    /// The JSON of the ballot, which earlier readers understand. `request`, which the draft's programs and
    /// earlier versions want, is there where it is given; so is `error` then, the files of
    /// OperationOutcomes.
    pub fn write(&self, request: Option<&str>, errors: &[File]) -> Vec<u8> {
        let mut root = Map::new();
        root.insert("manifestType".to_owned(), MANIFEST_TYPE.into());
        root.insert("transactionTime".to_owned(), self.transaction_time.to_string().into());
        root.extend(request.map(|request| ("request".to_owned(), request.into())));
        root.insert("requiresAccessToken".to_owned(), self.requires_access_token.into());
        root.insert("outputFormat".to_owned(), super::NDJSON.into());
        root.extend(
            self.organized_by.clone().map(|kind| ("outputOrganizedBy".to_owned(), kind.into())),
        );
        root.insert("output".to_owned(), self.output.iter().map(File::write).collect());
        if !self.deleted.is_empty() {
            root.insert("deleted".to_owned(), self.deleted.iter().map(File::write).collect());
        }
        let errors = || errors.iter().map(File::write).collect();
        root.extend(request.map(|_| ("error".to_owned(), errors())));
        root.extend(self.next.as_deref().map(link));
        Value::Object(root).to_string().into_bytes()
    }
}

impl File {
    fn write(&self) -> Value {
        let mut file = Map::new();
        file.extend(self.kind.clone().map(|kind| ("type".to_owned(), kind.into())));
        file.insert("url".to_owned(), self.url.clone().into());
        file.extend(
            self.continues_in.clone().map(|url| ("continuesInFile".to_owned(), url.into())),
        );
        file.extend(self.count.map(|count| ("count".to_owned(), count.into())));
        file.extend(self.size.map(|size| ("fileSize".to_owned(), size.into())));
        Value::Object(file)
    }
}

/// The link to the next page, as a member.
pub(super) fn link(next: &str) -> (String, Value) {
    ("link".to_owned(), json!([{ "relation": "next", "url": next }]))
}

/// The place of the next page.
pub(super) fn next(root: &Members<'_>) -> Result<Option<String>, Issue> {
    let mut next = None;
    root.list("link", &["relation", "url"], |place, link| {
        if next.is_none() && link.text(place, "relation")?.as_deref() == Some("next") {
            let url = link.text(place, "url")?;
            next = Some(url.ok_or_else(|| invalid(format!("{place}url"), "a URL is needed"))?);
        }
        Ok(())
    })?;
    Ok(next)
}

fn files(root: &Members<'_>, name: &str) -> Result<Vec<File>, Issue> {
    root.list(name, &FILE, |place, item| {
        let url = item.text(place, "url")?.filter(|url| !url.is_empty());
        Ok(File {
            url: url.ok_or_else(|| invalid(format!("{place}url"), "a URL is needed"))?,
            kind: item.text(place, "type")?,
            count: item.number(place, "count")?,
            size: item.number(place, "fileSize")?,
            continues_in: item.text(place, "continuesInFile")?,
        })
    })
}

pub(super) fn invalid(place: impl Into<String>, detail: impl Into<String>) -> Issue {
    Issue::new(Code::ManifestInvalid, detail).at(place)
}

#[cfg(test)]
mod tests;
