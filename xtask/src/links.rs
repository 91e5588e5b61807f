//! Links: a link in a page leads to a file that is there.
//!
//! Comes in   every Markdown page.
//! Goes out   a finding for every relative link whose target is not in the repository.
//! Never      asks the network: links to other sites are left alone.

use crate::Finding;
use crate::tree::Tree;

/// Follows every relative link of every page.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for page in tree.files.iter().filter(|file| file.path.ends_with(".md")) {
        let mut fenced = false;
        for (index, line) in page.text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
            }
            if fenced {
                continue;
            }
            for target in targets(line) {
                let resolved = resolve(&page.path, target);
                if !resolved.as_deref().is_some_and(|path| tree.holds(path)) {
                    findings.push(Finding::new(
                        &page.path,
                        index + 1,
                        format!("the link to `{target}` leads nowhere"),
                        "name a file of this repository, relative to the page",
                    ));
                }
            }
        }
    }
    findings
}

/// The relative targets of a line's links, without their anchors.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    let ends = line.match_indices("](").map(|(at, _)| &line[at + 2..]);
    ends.filter_map(|rest| rest.split_once(')').map(|(target, _)| target.trim()))
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .map(|target| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty())
}

/// The target as a path from the root; `None` when it leaves the repository.
fn resolve(page: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    //! Goal: a dead link is found; whatever is no link of ours is left alone.

    use super::*;

    #[test]
    fn links_resolve() {
        let table = [
            ("beside the page", "[a](b.md)", 0),
            ("with an anchor", "[a](b.md#part)", 0),
            ("only an anchor", "[a](#part)", 0),
            ("one folder up", "[a](../LICENSE-MIT)", 0),
            ("a folder", "[a](../docs)", 0),
            ("another site", "[a](https://hl7.org/fhir/R4/)", 0),
            ("gone", "[a](c.md)", 1),
            ("out of the repository", "[a](../../b.md)", 1),
            ("two on one line, one gone", "[a](b.md) [c](c.md)", 1),
            ("in an example", "```\n[a](c.md)\n```", 0),
        ];
        for (case, text, count) in table {
            let tree = Tree::of(&[("docs/a.md", text), ("docs/b.md", ""), ("LICENSE-MIT", "")]);
            assert_eq!(check(&tree).len(), count, "{case}");
        }
    }
}
