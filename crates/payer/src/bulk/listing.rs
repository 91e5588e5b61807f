//! Listing: which files a manifest has, over all its pages, and in which order they are read.
//!
//! Comes in   manifests as the partner's server gives them.
//! Goes out   the list of what is to be read, to be stored: each file with where it is and what it holds.
//! Never      follows a link twice, or more of them than `BULK_PAGES_MAX`.
//!
//! Why an order of our own: a member is matched by Patient and Coverage, so these come first; what was
//! taken back comes last, so that it does not come back by a file of the same manifest.

use super::fetched::Fetching;
use crate::limits::{BULK_LISTED_FILES_MAX, BULK_PAGES_MAX};
use exchange::bulk::{File, Manifest};
use exchange::{Code, Issue};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use wire::fetch::{Fault, beside};
use wire::limits::FILE_BYTES_MAX;

/// What is to be read of a manifest, in its order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct List {
    /// One after the other.
    pub(super) steps: Vec<ListStep>,
    /// Pages of the manifest.
    pub(super) pages: u64,
}

/// A step of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ListStep {
    /// A file is read.
    File(Listed),
    /// What waits for its Patient is looked at again.
    Again,
}

/// A file to be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listed {
    /// Where it is.
    pub(super) url: String,
    /// Its place in the manifest: `output[3]`.
    pub(super) place: String,
    /// The type of its resources; none where files are organised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<String>,
    /// It holds transaction Bundles of deletions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) deleted: bool,
    /// Its server asks for a token.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) token: bool,
    /// How many resources the manifest says that it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) count: Option<u64>,
    /// How many bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
    /// Its last block goes on in the next one of the list.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) continues: bool,
}

impl Listed {
    /// What the file does not keep of what its manifest promises: `resources` and `headers` of blocks were
    /// read of it to its end, `length` is that of what came, where it is known. `None`: nothing.
    ///
    /// A count speaks for itself: where it holds, no line is missing, whatever the size. Of organised files
    /// some senders count the headers too, which are resources as well.
    pub(super) fn broken(
        &self,
        resources: u64,
        headers: u64,
        length: Option<u64>,
    ) -> Option<Issue> {
        let invalid = |detail: String| {
            let words = "what was read of it is filed as any other; nothing is taken back for that";
            Issue::new(Code::FileInvalid, format!("{detail}; {words}")).at(&self.place)
        };
        match (self.count, self.size, length) {
            (Some(count), _, _) if count == resources || count == resources + headers => None,
            (Some(count), _, _) => {
                let detail = format!("it has {resources} resources, its manifest says {count}");
                Some(invalid(detail))
            }
            (None, Some(size), Some(length)) if size != length => {
                let detail = format!("it has {length} bytes, its manifest says {size}");
                Some(invalid(detail))
            }
            _ => None,
        }
    }

    /// That the file is larger than this house reads, as its manifest says; it is not asked for then.
    pub(super) fn too_large(&self) -> Option<Issue> {
        let larger = self.size.is_some_and(|size| size > FILE_BYTES_MAX);
        let detail = "by its manifest it is larger than this house reads";
        larger.then(|| Issue::new(Code::FileInvalid, detail).at(&self.place))
    }
}

/// Why there is no list.
pub(super) enum NoList {
    /// It could not be fetched.
    Fault(Fault),
    /// It cannot be acted on.
    Invalid(Issue),
}

impl From<Fault> for NoList {
    fn from(fault: Fault) -> NoList {
        NoList::Fault(fault)
    }
}

impl From<Issue> for NoList {
    fn from(issue: Issue) -> NoList {
        NoList::Invalid(issue)
    }
}

/// Fetches a manifest with all its pages.
pub(super) async fn list(fetching: &mut Fetching<'_>, url: &str) -> Result<List, NoList> {
    let (mut output, mut deleted) = (Vec::new(), Vec::new());
    let (mut seen, mut next, mut organized) = (HashSet::new(), Some(url.to_owned()), None);
    while let Some(url) = next {
        if !seen.insert(url.clone()) {
            let detail = "its link leads back to a page that was read before";
            return Err(invalid("link", detail).into());
        }
        if seen.len() > BULK_PAGES_MAX {
            let detail = format!("it has more than {BULK_PAGES_MAX} pages");
            return Err(invalid("link", detail).into());
        }
        let page = Manifest::read(&fetching.manifest(&url).await?)?;
        if organized.get_or_insert_with(|| page.organized_by.clone()) != &page.organized_by {
            let detail = "its pages are organised in different ways";
            return Err(invalid("outputOrganizedBy", detail).into());
        }
        let token = page.requires_access_token;
        add(&mut output, &url, "output", &page.output, token)?;
        add(&mut deleted, &url, "deleted", &page.deleted, token)?;
        if output.len() + deleted.len() > BULK_LISTED_FILES_MAX {
            let detail = format!("it has more than {BULK_LISTED_FILES_MAX} files");
            return Err(invalid("output", detail).into());
        }
        next = match &page.next {
            Some(next) => Some(
                beside(&url, next)
                    .ok_or_else(|| invalid("link", "its link leads to no address"))?,
            ),
            None => None,
        };
    }
    if organized.flatten().is_some_and(|kind| kind != "Patient") {
        let detail = "files are organised by Patient here, or not at all";
        return Err(invalid("outputOrganizedBy", detail).into());
    }
    Ok(List { steps: ordered(output, deleted), pages: seen.len() as u64 })
}

fn invalid(place: &str, detail: impl Into<String>) -> Issue {
    Issue::new(Code::ManifestInvalid, detail).at(place)
}

fn add(
    all: &mut Vec<(Listed, Option<String>)>,
    document: &str,
    name: &str,
    files: &[File],
    token: bool,
) -> Result<(), Issue> {
    for file in files {
        let place = format!("{name}[{}]", all.len());
        let absolute = |url: &str| {
            let seen = beside(document, url);
            seen.ok_or_else(|| invalid(&format!("{place}.url"), "it is no address"))
        };
        let listed = Listed {
            url: absolute(&file.url)?,
            kind: file.kind.clone(),
            deleted: name == "deleted",
            token,
            count: file.count,
            size: file.size,
            continues: false,
            place: place.clone(),
        };
        all.push((listed, file.continues_in.as_deref().map(absolute).transpose()?));
    }
    Ok(())
}

/// Patients, Coverages, then what waited for them, the rest, what waited for that, and deletions. A file
/// in which a block goes on comes right behind the one it begins in.
fn ordered(
    output: Vec<(Listed, Option<String>)>,
    deleted: Vec<(Listed, Option<String>)>,
) -> Vec<ListStep> {
    let rank = |listed: &Listed| match listed.kind.as_deref() {
        Some("Patient") => 0,
        Some("Coverage") => 1,
        _ => 2,
    };
    let mut output = chained(output);
    output.sort_by_key(rank);
    let boundary = output.iter().position(|listed| rank(listed) == 2).unwrap_or(output.len());
    let rest = output.split_off(boundary);
    let first = (!output.is_empty()).then_some(ListStep::Again);
    let second = (!rest.is_empty()).then_some(ListStep::Again);
    let file = ListStep::File;
    let deleted = deleted.into_iter().map(|(listed, _)| file(listed));
    let output = output.into_iter().map(file).chain(first);
    output.chain(rest.into_iter().map(file)).chain(second).chain(deleted).collect()
}

/// Each file behind the one that it continues. What continues nothing, or something twice, stays where
/// it stands.
fn chained(files: Vec<(Listed, Option<String>)>) -> Vec<Listed> {
    let by_url: HashMap<String, usize> =
        files.iter().enumerate().map(|(at, (listed, _))| (listed.url.clone(), at)).collect();
    let next = |at: usize| {
        let (_, next) = files.get(at)?;
        by_url.get(next.as_ref()?).copied().filter(|next| *next != at)
    };
    let begun: HashSet<usize> = (0..files.len()).filter_map(next).collect();
    let mut order: Vec<(usize, bool)> = Vec::with_capacity(files.len());
    let mut taken = vec![false; files.len()];
    // First those that begin a chain, each with its chain; then what is left: a circle.
    let heads = (0..files.len()).filter(|at| !begun.contains(at)).chain(0..files.len());
    for head in heads {
        let mut at = Some(head);
        while let Some(here) = at.filter(|here| !std::mem::replace(&mut taken[*here], true)) {
            at = next(here);
            order.push((here, at.is_some_and(|next| !taken[next])));
        }
    }
    let listed = |(at, continues): (usize, bool)| Listed { continues, ..files[at].0.clone() };
    order.into_iter().map(listed).collect()
}

#[cfg(test)]
mod tests {
    //! Goal: whatever order a manifest has, Patients come first and deletions last, each file once.
    use super::*;

    fn listed(url: &str, kind: Option<&str>, next: Option<&str>) -> (Listed, Option<String>) {
        let listed = Listed {
            url: url.to_owned(),
            place: String::new(),
            kind: kind.map(str::to_owned),
            deleted: false,
            token: false,
            count: None,
            size: None,
            continues: false,
        };
        (listed, next.map(str::to_owned))
    }

    fn urls(steps: &[ListStep]) -> Vec<String> {
        let url = |step: &ListStep| match step {
            ListStep::File(listed) => {
                format!("{}{}", listed.url, if listed.continues { "+" } else { "" })
            }
            ListStep::Again => "again".to_owned(),
        };
        steps.iter().map(url).collect()
    }

    #[test]
    fn a_count_is_held_against_what_was_read_and_a_size_where_there_is_no_count() {
        let (organised, typed) = (None, Some("Observation"));
        type Case<'c> = (&'c str, Option<&'c str>, [Option<u64>; 2], [u64; 2], Option<u64>, bool);
        let table: [Case<'_>; 11] = [
            ("nothing promised", typed, [None, None], [3, 0], Some(90), false),
            ("as many as promised", typed, [Some(3), None], [3, 0], None, false),
            ("as many, of another size", typed, [Some(3), Some(91)], [3, 0], Some(90), false),
            ("one is missing", typed, [Some(4), None], [3, 0], Some(90), true),
            ("one more", typed, [Some(2), None], [3, 0], Some(90), true),
            ("none at all", typed, [Some(4), None], [0, 0], Some(0), true),
            ("of this size", typed, [None, Some(90)], [3, 0], Some(90), false),
            ("of another size", typed, [None, Some(91)], [3, 0], Some(90), true),
            ("of a size that nobody knows", typed, [None, Some(91)], [3, 0], None, false),
            ("headers aside", organised, [Some(3), None], [3, 2], None, false),
            ("headers counted", organised, [Some(5), None], [3, 2], None, false),
        ];
        for (case, kind, [count, size], [resources, headers], length, told) in table {
            let (one, _) = listed("o", kind, None);
            let one = Listed { count, size, place: "output[3]".to_owned(), ..one };
            let broken = one.broken(resources, headers, length);
            assert_eq!(broken.is_some(), told, "{case}");
            if let Some(issue) = broken {
                let (code, place) = (issue.code, issue.expression.as_deref());
                assert_eq!((code, place), (Code::FileInvalid, Some("output[3]")), "{case}");
            }
        }
    }

    #[test]
    fn files_are_read_in_an_order_in_which_patients_are_known_first() {
        let kinds = |list: &[(&str, &str)]| {
            list.iter().map(|(url, kind)| listed(url, Some(kind), None)).collect::<Vec<_>>()
        };
        let chain = |list: &[(&str, Option<&str>)]| {
            list.iter().map(|(url, next)| listed(url, None, *next)).collect::<Vec<_>>()
        };
        type Files = Vec<(Listed, Option<String>)>;
        let table: [(&str, Files, Files, &[&str]); 6] = [
            (
                "by type",
                kinds(&[
                    ("o", "Observation"),
                    ("c", "Coverage"),
                    ("p1", "Patient"),
                    ("p2", "Patient"),
                ]),
                kinds(&[("d", "Bundle")]),
                &["p1", "p2", "c", "again", "o", "again", "d"],
            ),
            ("Patients alone", kinds(&[("p", "Patient")]), vec![], &["p", "again"]),
            ("nothing", vec![], vec![], &[]),
            (
                "organised, backwards",
                chain(&[("2", None), ("1", Some("2")), ("3", None)]),
                vec![],
                &["1+", "2", "3", "again"],
            ),
            (
                "a circle",
                chain(&[("1", Some("2")), ("2", Some("1"))]),
                vec![],
                &["1+", "2", "again"],
            ),
            (
                "two that go on in one",
                chain(&[("1", Some("3")), ("2", Some("3")), ("3", None)]),
                vec![],
                &["1+", "3", "2", "again"],
            ),
        ];
        for (case, output, deleted, expected) in table {
            assert_eq!(urls(&ordered(output, deleted)), expected, "{case}");
        }
    }
}
