//! Element paths: the part of FHIRPath in which agreements name elements.
//!
//! Comes in   `Patient.identifier.where(system='http://…')`, and a resource.
//! Goes out   the elements it leads to, or what is wrong with the path and where.
//! Never      a path that silently leads nowhere: names are held against the elements of R4, since
//!            a mistyped rule that cuts nothing would let everything through.
//!
//! The subset: child steps; `descendants()`, every object below at whatever depth (contained
//! resources, extensions and logical references too); and `where(…)` behind a step (several narrow
//! further). Within `where` stands a child path such as `type.coding.code` and one comparison:
//! `x='y'` (systems are the same under all their spellings), `x~'y'` (white space and case do not
//! count), `x.startsWith('y')` or `x.contains('y')` (here case does not count either). A leading
//! type name binds the path to that type; `Resource` binds it to none. Lists are walked without being named. An element of a choice type
//! answers to its FHIRPath name (`Observation.value`) and to its JSON name (`valueQuantity`).
//! With a primitive goes its `_sibling`, which holds its id and extensions (R4 §2.6.2).

mod elements;

pub(crate) use elements::{has_element, names_of_type};
pub use elements::{is_resource_type, resource_types};

use crate::limits::{PATH_BYTES_MAX, PATH_STEPS_MAX};
use crate::tomlfile::did_you_mean;
use crate::valueset::canonical;
use fhir::{Kind, Node};

/// A path, read once and used for many resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    kind: Option<String>,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    /// `None` for `descendants()`.
    name: Option<String>,
    filters: Vec<Filter>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Filter {
    way: Vec<String>,
    test: Test,
    wanted: String,
}

/// How a text is held against the wanted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    Same,
    Alike,
    StartsWith,
    Contains,
}

/// Why a text is not a path that can be used here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (character {})", offset + 1)]
pub struct PathError {
    /// Byte offset in the path.
    pub offset: usize,
    /// What is wrong, and what was probably meant.
    pub reason: String,
}

/// The type names that bind a path to no type.
const ANY: [&str; 2] = ["Resource", "DomainResource"];

impl Path {
    /// Reads a path. When a type leads it, its names are held against R4 here; otherwise
    /// [`Path::check`] does so for each type it is meant for.
    pub fn parse(text: &str) -> Result<Path, PathError> {
        if text.len() > PATH_BYTES_MAX {
            return Err(fault(0, format!("a path has at most {PATH_BYTES_MAX} bytes")));
        }
        let path = Reader { text, at: 0 }.path()?;
        match path.kind() {
            Some(kind) => path.check(kind)?,
            None => path.check_any()?,
        }
        Ok(path)
    }

    /// The type the path is bound to; `None` when it fits any.
    pub fn kind(&self) -> Option<&str> {
        self.kind.as_deref()
    }

    /// Whether the path is one member of the resource itself, with this name and no condition.
    pub(crate) fn is_member(&self, name: &str) -> bool {
        matches!(self.steps.as_slice(),
            [step] if step.name.as_deref() == Some(name) && step.filters.is_empty())
    }

    /// Whether the path ends with every object below, without a condition.
    pub(crate) fn is_everything(&self) -> bool {
        self.steps.last().is_some_and(|step| step.name.is_none() && step.filters.is_empty())
    }

    /// Holds the names of the path against the elements of a type.
    pub fn check(&self, kind: &str) -> Result<(), PathError> {
        let mut places = vec![kind.to_owned()];
        for step in &self.steps {
            places = match &step.name {
                Some(name) => descend(&places, name)?,
                None => vec![ANY[0].to_owned()],
            };
            for filter in &step.filters {
                let mut inner = places.clone();
                for name in &filter.way {
                    inner = descend(&inner, name)?;
                }
            }
        }
        Ok(())
    }

    /// A path without a type must fit at least one.
    fn check_any(&self) -> Result<(), PathError> {
        if resource_types().any(|kind| self.check(kind).is_ok()) {
            return Ok(());
        }
        let names = elements::all_names();
        let unknown = |name: &&String| !names.contains(&name.as_str());
        let all = self.steps.iter().flat_map(|step| {
            let ways = step.filters.iter().flat_map(|filter| &filter.way);
            step.name.iter().chain(ways)
        });
        let reason = match all.into_iter().find(unknown) {
            Some(name) => {
                format!("no R4 resource has an element `{name}`{}", did_you_mean(name, &names))
            }
            None => "no R4 resource has such an element".to_owned(),
        };
        Err(fault(0, reason))
    }

    /// The elements the path leads to, in document order. A primitive's `_sibling` is among them.
    pub fn select<'d, 'a>(&self, resource: Node<'d, 'a>) -> Vec<Node<'d, 'a>> {
        if let Some(kind) = &self.kind {
            let is = resource.get("resourceType").and_then(|kind| kind.text());
            if is.as_deref() != Some(kind) {
                return Vec::new();
            }
        }
        let mut found = vec![resource];
        for step in &self.steps {
            // Every resource is asked every rule: nothing is listed that a filter drops at once.
            let fits = |node: &Node<'d, 'a>| step.filters.iter().all(|filter| filter.fits(*node));
            let before = found.into_iter();
            found = match &step.name {
                Some(name) => before.flat_map(|node| children(node, name)).filter(fits).collect(),
                None => before.flat_map(objects_below).filter(fits).collect(),
            };
        }
        found
    }

    /// Whether the path is `descendants()` alone, of any type.
    pub(crate) fn is_all_below(&self) -> bool {
        self.kind.is_none()
            && matches!(self.steps.as_slice(),
            [step] if step.name.is_none() && step.filters.is_empty())
    }
}

impl Filter {
    fn fits(&self, node: Node<'_, '_>) -> bool {
        let leads = |member: Node<'_, '_>| {
            let member = member.name();
            let base = member.strip_prefix('_').unwrap_or(member);
            self.way.first().is_some_and(|name| base.starts_with(name.as_str()))
        };
        if !node.members().any(leads) {
            return false;
        }
        let mut found = vec![node];
        for name in &self.way {
            found = found.into_iter().flat_map(|node| children(node, name)).collect();
        }
        let found = found.iter().filter_map(|node| node.primitive());
        found.into_iter().any(|text| self.test.passes(text.trim(), &self.wanted))
    }
}

impl Test {
    fn passes(self, text: &str, wanted: &str) -> bool {
        match self {
            Test::Same => text == wanted || text.contains([':', '.']) && same_system(text, wanted),
            Test::Alike => alike(text) == alike(wanted),
            Test::StartsWith => alike(text).starts_with(&alike(wanted)),
            Test::Contains => alike(text).contains(&alike(wanted)),
        }
    }
}

fn same_system(text: &str, wanted: &str) -> bool {
    wanted.contains(':') && canonical(text) == canonical(wanted)
}

/// Without regard to case and to how words are spaced (FHIRPath §6.1.2, equivalence of strings).
fn alike(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Every object below, itself left out, in document order.
fn objects_below<'d, 'a>(node: Node<'d, 'a>) -> impl Iterator<Item = Node<'d, 'a>> {
    node.descendants().skip(1).filter(|node| node.kind() == Kind::Object)
}

/// The elements of this name: the member itself, its `_sibling`, and the forms of a choice; the
/// items where they are lists.
fn children<'d, 'a>(node: Node<'d, 'a>, name: &str) -> Vec<Node<'d, 'a>> {
    let choice = elements::is_choice(name);
    let named = |member: &Node<'_, '_>| {
        let member = member.name();
        let base = member.strip_prefix('_').unwrap_or(member);
        let form = base.strip_prefix(name).map(|rest| rest.is_empty() || choice && is_type(rest));
        form.unwrap_or(false)
    };
    node.members().filter(named).flat_map(|member| member.each()).collect()
}

/// Where a name leads from some places of the definitions, which it does from one at least.
fn descend(places: &[String], name: &str) -> Result<Vec<String>, PathError> {
    let anything = |place: &String| ANY.contains(&place.as_str());
    if places.iter().any(anything) {
        let names = elements::all_names();
        if names.contains(&name) {
            return Ok(vec![ANY[0].to_owned()]);
        }
        let meant = did_you_mean(name, &names);
        return Err(fault(0, format!("no R4 resource has an element `{name}`{meant}")));
    }
    let found: Vec<String> =
        places.iter().filter_map(|place| elements::child(place, name)).flatten().collect();
    let known = places.iter().any(|place| elements::child(place, name).is_some());
    if known {
        return Ok(found);
    }
    let names: Vec<&str> = places.iter().flat_map(|place| elements::names(place)).collect();
    let place = places.join("`, `");
    let meant = did_you_mean(name, &names);
    if place.is_empty() {
        return Err(fault(0, format!("a primitive element has no element `{name}`{meant}")));
    }
    Err(fault(0, format!("R4 `{place}` has no element `{name}`{meant}")))
}

fn is_type(word: &str) -> bool {
    elements::is_choice_type(word)
}

fn fault(offset: usize, reason: impl Into<String>) -> PathError {
    PathError { offset, reason: reason.into() }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn path(mut self) -> Result<Path, PathError> {
        let mut kind = None;
        let mut steps: Vec<Step> = Vec::new();
        loop {
            let start = self.at;
            let name = self.name()?;
            let leads = start == 0 && name.starts_with(|c: char| c.is_ascii_uppercase());
            if self.peek() == Some('(') {
                self.function(start, name, &mut steps)?;
            } else if leads {
                kind = Some(self.kind(start, name)?);
            } else {
                steps.push(Step { name: Some(name.to_owned()), filters: Vec::new() });
            }
            if steps.len() > PATH_STEPS_MAX {
                return Err(fault(start, format!("a path has at most {PATH_STEPS_MAX} steps")));
            }
            match self.peek() {
                None if steps.is_empty() => {
                    return Err(fault(self.at, "the path names no element"));
                }
                None => {
                    let kind = kind.filter(|kind| !ANY.contains(&kind.as_str()));
                    return Ok(Path { kind, steps });
                }
                Some('.') => self.at += 1,
                Some('[') => {
                    return Err(fault(self.at, "positions are not used here; a path takes all"));
                }
                Some(_) => return Err(fault(self.at, "a `.` or the end is expected")),
            }
        }
    }

    fn function(
        &mut self,
        start: usize,
        name: &str,
        steps: &mut Vec<Step>,
    ) -> Result<(), PathError> {
        if name == "descendants" {
            self.expect('(')?;
            self.expect(')')?;
            if steps.iter().any(|step| step.name.is_none()) {
                return Err(fault(start, "`descendants()` stands once in a path"));
            }
            steps.push(Step { name: None, filters: Vec::new() });
            return Ok(());
        }
        let Some(step) = steps.last_mut().filter(|_| name == "where") else {
            let reason =
                format!("only `where(x='y')` behind an element, or `descendants()`, not `{name}(`");
            return Err(fault(start, reason));
        };
        step.filters.push(self.filter()?);
        Ok(())
    }

    fn kind(&self, start: usize, name: &str) -> Result<String, PathError> {
        if ANY.contains(&name) || is_resource_type(name) {
            return Ok(name.to_owned());
        }
        let known: Vec<&str> = resource_types().collect();
        let meant = did_you_mean(name, &known);
        Err(fault(start, format!("`{name}` is no R4 resource type{meant}")))
    }

    fn filter(&mut self) -> Result<Filter, PathError> {
        self.expect('(')?;
        let mut way = vec![self.name()?.to_owned()];
        let mut called = None;
        while self.peek() == Some('.') {
            self.at += 1;
            let name = self.name()?;
            called = match name {
                "startsWith" => Some(Test::StartsWith),
                "contains" => Some(Test::Contains),
                _ => None,
            };
            if self.peek() == Some('(') && called.is_some() {
                break;
            }
            called = None;
            way.push(name.to_owned());
        }
        if way.len() > PATH_STEPS_MAX {
            return Err(fault(self.at, format!("a path has at most {PATH_STEPS_MAX} steps")));
        }
        let test = self.test(called)?;
        let start = self.at;
        let wanted = self.literal()?;
        if wanted.trim().is_empty() {
            return Err(fault(start, "the text in quotes is empty"));
        }
        self.space();
        if called.is_some() {
            self.expect(')')?;
            self.space();
        }
        self.expect(')')?;
        Ok(Filter { way, test, wanted })
    }

    /// The comparison, up to the text that is wanted.
    fn test(&mut self, called: Option<Test>) -> Result<Test, PathError> {
        self.space();
        let test = match called {
            Some(test) => {
                self.expect('(')?;
                test
            }
            None if self.peek() == Some('~') => {
                self.at += 1;
                Test::Alike
            }
            None => {
                self.expect('=')?;
                Test::Same
            }
        };
        self.space();
        Ok(test)
    }

    fn literal(&mut self) -> Result<String, PathError> {
        let start = self.at;
        self.expect('\'')?;
        let mut text = String::new();
        let mut escaped = false;
        for c in self.text[self.at..].chars() {
            self.at += c.len_utf8();
            match c {
                '\'' | '\\' if escaped => text.push(c),
                _ if escaped => return Err(fault(self.at, "only \\' and \\\\ are escapes here")),
                '\'' => return Ok(text),
                '\\' => {
                    escaped = true;
                    continue;
                }
                _ => text.push(c),
            }
            escaped = false;
        }
        Err(fault(start, "the text in quotes does not end"))
    }

    fn name(&mut self) -> Result<&'t str, PathError> {
        self.space();
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        if end == 0 || rest.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(fault(self.at, "the name of an element is expected"));
        }
        self.at += end;
        Ok(&rest[..end])
    }

    fn expect(&mut self, wanted: char) -> Result<(), PathError> {
        if self.peek() != Some(wanted) {
            return Err(fault(self.at, format!("`{wanted}` is expected")));
        }
        self.at += wanted.len_utf8();
        Ok(())
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start_matches(' ').len();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use fhir::Doc;

    const PATIENT: &str = r#"{"resourceType":"Patient","identifier":[
        {"system":"urn:ssn","value":"1"},
        {"type":{"coding":[{"code":"SS"},{"code":"X"}]},"value":"2"},
        {"system":"urn:it's","value":"3"}],
        "birthDate":"2000-01-01","_birthDate":{"extension":[{"url":"u","valueCode":"c"}]},
        "name":[{"given":["A",null],"_given":[null,{"id":"g"}]},{"given":["B"]}],
        "deceasedBoolean":true,"_deceasedBoolean":{"id":"d"},
        "extension":[{"url":"u","valueString":"x"},{"url":"v","valueCode":"y"}]}"#;

    fn selected(text: &str, path: &str) -> Vec<String> {
        let doc = Doc::parse(text.as_bytes()).unwrap();
        let path = Path::parse(path).unwrap();
        path.select(doc.root()).iter().map(|node| node.expression()).collect()
    }

    #[test]
    fn a_path_leads_to_its_elements() {
        let table: &[(&str, &[&str])] = &[
            ("Patient.identifier", &["identifier[0]", "identifier[1]", "identifier[2]"]),
            ("identifier.where(system='urn:ssn')", &["identifier[0]"]),
            ("Patient.identifier.where(type.coding.code = 'SS')", &["identifier[1]"]),
            (r"Patient.identifier.where(system='urn:it\'s').value", &["identifier[2].value"]),
            (
                "Patient.identifier.where(type.coding.code='SS').where(value='9')",
                &[], // conditions narrow
            ),
            ("Patient.birthDate", &["birthDate", "_birthDate"]),
            ("Patient.birthDate.extension.where(url='u')", &["_birthDate.extension[0]"]),
            (
                "Patient.name.given",
                &[
                    "name[0].given[0]",
                    "name[0].given[1]",
                    "name[0]._given[0]",
                    "name[0]._given[1]",
                    "name[1].given[0]",
                ],
            ),
            ("Patient.deceased", &["deceasedBoolean", "_deceasedBoolean"]),
            ("Patient.deceasedBoolean", &["deceasedBoolean", "_deceasedBoolean"]),
            ("Patient.extension.where(url='v').value", &["extension[1].valueCode"]),
            ("Resource.identifier.where(system='urn:ssn')", &["identifier[0]"]),
            ("Observation.value", &[]),
            ("Resource.identifier.where(system='URN:SSN')", &["identifier[0]"]),
            ("Resource.identifier.where(type.coding.code~'ss')", &["identifier[1]"]),
            ("Resource.identifier.where(system.startsWith('urn:S'))", &["identifier[0]"]),
            ("Resource.identifier.where(system.contains('SN'))", &["identifier[0]"]),
            ("descendants().where(type.coding.code='SS')", &["identifier[1]"]),
            ("Patient.descendants().where(url='u')", &["_birthDate.extension[0]", "extension[0]"]),
            ("Patient.descendants().where(code='X').code", &["identifier[1].type.coding[1].code"]),
        ];
        for (path, found) in table {
            let found: Vec<String> = found.iter().map(|way| format!("Patient.{way}")).collect();
            assert_eq!(selected(PATIENT, path), found, "{path}");
        }
    }

    #[test]
    fn a_choice_answers_to_its_name_and_a_longer_name_is_another_element() {
        let text = r#"{"resourceType":"Observation","valueQuantity":{"value":1},"valueSet":1}"#;
        assert_eq!(selected(text, "Observation.value"), ["Observation.valueQuantity"]);
        assert_eq!(selected(text, "Observation.value.value"), ["Observation.valueQuantity.value"]);
        let text = r#"{"resourceType":"Coverage","subscriber":{},"subscriberId":"1"}"#;
        assert_eq!(selected(text, "Coverage.subscriber"), ["Coverage.subscriber"]);
    }

    #[test]
    fn what_is_no_path_is_refused_with_place_and_suggestion() {
        let table = [
            ("", 0, "the name of an element"),
            ("Patient", 7, "names no element"),
            ("Patient.", 8, "the name of an element"),
            ("Patinet.name", 0, "did you mean `Patient`?"),
            ("Patient.identfier", 0, "did you mean `identifier`?"),
            ("Patient.name.famly", 0, "did you mean `family`?"),
            ("Patient.birthDate.year", 0, "a primitive element has no element `year`"),
            ("Patient.name[0]", 12, "positions"),
            ("Patient.descendants()[0]", 21, "positions"),
            ("Patient.descendants", 0, "no element `descendants`"),
            ("Patient.descendants(1)", 20, "`)` is expected"),
            ("Patient.descendants().contact.descendants()", 30, "once"),
            ("descendants().where(sytem='x')", 0, "did you mean `system`?"),
            ("Patient.name.where(use.endsWith('x'))", 31, "`=` is expected"),
            ("Patient.name.where(use='')", 23, "is empty"),
            ("Patient.name.where(use.contains('x')", 36, "`)` is expected"),
            ("Patient.name.first()", 13, "only `where(x='y')`"),
            ("where(x='y')", 0, "only `where(x='y')`"),
            ("Patient.name.where(use)", 22, "`=` is expected"),
            ("Patient.name.where(use='x'", 26, "`)` is expected"),
            ("Patient.name.where(use='x)", 23, "does not end"),
            ("Patient.name.where(use=\"x\")", 23, "`'` is expected"),
            ("Patient.name.where(ues='x')", 0, "did you mean `use`?"),
            (r"Patient.name.where(use='\n')", 26, "escapes"),
            ("Patient.name family", 12, "a `.` or the end"),
            ("code.codng", 0, "did you mean `coding`?"),
            ("Patient.näme", 9, "a `.` or the end"),
            ("Observation.valueMoney", 0, "R4 `Observation` has no element `valueMoney`"),
        ];
        for (text, offset, words) in table {
            let error = Path::parse(text).unwrap_err();
            assert_eq!(error.offset, offset, "{text}: {error}");
            assert!(error.reason.contains(words), "{text}: {error}");
        }
        assert!(Path::parse(&format!("Patient{}", ".name".repeat(200))).is_err(), "too long");
        assert!(Path::parse(&format!("a{}", ".a".repeat(20))).is_err(), "too many steps");
    }
}
