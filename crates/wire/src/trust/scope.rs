//! Scope: what a token covers, in SMART's grammar.
//!
//! Comes in   scopes as text: v2 `system/Encounter.rs`, v1 `system/Encounter.read`, plain ones.
//! Goes out   yes or no; the part of what was asked that is registered.
//! Never      grants more than is registered, whatever the spelling.
//!
//! Why unknown spellings are plain: what has letters out of order, or a query that writes or controls a
//! search, is compared as a whole, so that it can never be read as more than it says (SMART App Launch
//! 2.2, scopes and launch context). A scope with a query that finds (`system/Observation.rs?category=…`)
//! covers nothing but itself; see `narrowed`.

use std::collections::BTreeSet;

/// The letters of SMART v2, in the order the grammar demands.
const LETTERS: [char; 5] = ['c', 'r', 'u', 'd', 's'];

/// A `system/` scope taken apart: `*` or a resource type, and one bit per letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Clinical<'a> {
    kind: &'a str,
    letters: u8,
    /// What it is narrowed to.
    query: Option<&'a str>,
}

impl<'a> Clinical<'a> {
    fn parse(text: &'a str) -> Option<Clinical<'a>> {
        let (text, query) =
            text.split_once('?').map_or((text, None), |(text, query)| (text, Some(query)));
        let (kind, rights) = text.strip_prefix("system/")?.split_once('.')?;
        let is_type = kind.starts_with(|first: char| first.is_ascii_uppercase())
            && kind.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_type && kind != "*" {
            return None;
        }
        let letters = match rights {
            "read" => bits("rs")?,
            "write" => bits("cud")?,
            "*" => bits("cruds")?,
            _ => bits(rights)?,
        };
        let reads = bits("rs")?;
        if query.is_some_and(|query| kind == "*" || letters & !reads != 0 || !finds(query)) {
            return None;
        }
        Some(Clinical { kind, letters, query })
    }

    /// The letters of this scope that count for a whole resource type.
    fn letters_on(&self, kind: &str) -> u8 {
        let whole = self.query.is_none() && (self.kind == "*" || self.kind == kind);
        if whole { self.letters } else { 0 }
    }
}

/// Whether a query only finds: parameters with values, none of which controls the answer (R4 §3.1.1.1.7).
fn finds(query: &str) -> bool {
    const OF_ALL: [&str; 5] = ["_id", "_lastUpdated", "_tag", "_profile", "_security"];
    query.split('&').all(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or_default();
        let plain =
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_:.".contains(&byte));
        let bare = name.split(':').next().unwrap_or_default();
        !name.is_empty()
            && plain
            && !value.is_empty()
            && (!name.starts_with('_') || OF_ALL.contains(&bare))
    })
}

/// Whether the scopes held cover the scope wanted.
pub fn covers(held: &[String], wanted: &str) -> bool {
    let same = || held.iter().any(|scope| scope == wanted);
    match Clinical::parse(wanted) {
        None => same(),
        Some(wanted) => {
            let whole = wanted.letters & !letters_on(held, wanted.kind) == 0;
            whole || (wanted.query.is_some() && same())
        }
    }
}

/// The queries of those scopes held that open a letter on a resource type for what they find.
pub fn narrowed<'a>(held: &'a [String], kind: &str, letter: char) -> Vec<&'a str> {
    let letter = bits(letter.encode_utf8(&mut [0; 4])).unwrap_or_default();
    let scopes = held.iter().filter_map(|scope| Clinical::parse(scope));
    let opens = scopes.filter(|scope| scope.kind == kind && scope.letters & letter != 0);
    opens.filter_map(|scope| scope.query).collect()
}

/// What of the asked scopes is registered, in the order asked, without repetition.
///
/// What is covered whole is granted as it was spelt; what is covered in part is granted as that
/// part, in v2 spelling. Asking for `*` yields the types that are registered.
pub fn grant(asked: &[&str], registered: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let granted = asked.iter().flat_map(|scope| grant_one(scope, registered));
    granted.filter(|scope| seen.insert(scope.clone())).collect()
}

fn grant_one(asked: &str, registered: &[String]) -> Vec<String> {
    if covers(registered, asked) {
        return vec![asked.to_owned()];
    }
    let Some(wanted) = Clinical::parse(asked) else { return Vec::new() };
    let kinds: BTreeSet<&str> = match wanted.kind {
        "*" => {
            registered.iter().filter_map(|scope| Clinical::parse(scope)).map(|s| s.kind).collect()
        }
        kind => BTreeSet::from([kind]),
    };
    let narrowed = |kind| {
        let letters = wanted.letters & letters_on(registered, kind);
        let query = wanted.query.map(|query| format!("?{query}")).unwrap_or_default();
        (letters != 0).then(|| format!("system/{kind}.{}{query}", spell(letters)))
    };
    kinds.into_iter().filter_map(narrowed).collect()
}

fn letters_on(held: &[String], kind: &str) -> u8 {
    let scopes = held.iter().filter_map(|scope| Clinical::parse(scope));
    scopes.fold(0, |letters, scope| letters | scope.letters_on(kind))
}

/// One bit per letter; none when a letter is unknown, repeated or out of order, or when none is there.
fn bits(rights: &str) -> Option<u8> {
    let mut bits = 0;
    for letter in rights.chars() {
        let bit = 1 << LETTERS.iter().position(|known| *known == letter)?;
        if bit <= bits {
            return None;
        }
        bits |= bit;
    }
    (bits != 0).then_some(bits)
}

fn spell(bits: u8) -> String {
    let held = LETTERS.iter().enumerate().filter(|(place, _)| bits & (1 << place) != 0);
    held.map(|(_, letter)| *letter).collect()
}

#[cfg(test)]
mod tests {
    //! Goal: a scope covers what it says and nothing else. Method: tables of held and wanted.

    use super::*;

    fn list(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// Proves: smart 135
    #[test]
    fn a_scope_covers_what_it_says() {
        let table = [
            ("the same", "system/Patient.rs", "system/Patient.rs", true),
            ("fewer letters", "system/Patient.cruds", "system/Patient.r", true),
            ("more letters", "system/Patient.r", "system/Patient.rs", false),
            (
                "letters of two scopes",
                "system/Patient.r system/Patient.s",
                "system/Patient.rs",
                true,
            ),
            ("every type covers one", "system/*.rs", "system/Patient.r", true),
            ("one type does not cover every", "system/Patient.rs", "system/*.r", false),
            ("another type", "system/Patient.rs", "system/Encounter.r", false),
            ("v1 read is read and search", "system/Patient.read", "system/Patient.rs", true),
            ("v1 read does not write", "system/Patient.read", "system/Patient.u", false),
            ("v1 write is create, update, delete", "system/*.write", "system/Patient.cud", true),
            ("v1 write does not read", "system/*.write", "system/Patient.r", false),
            ("v1 star is all", "system/Patient.*", "system/Patient.cruds", true),
            ("plain by equality", "handover/operate", "handover/operate", true),
            ("a plain one is not a prefix", "handover/operate", "handover/operate/x", false),
            ("everything clinical is no plain one", "system/*.cruds", "handover/operate", false),
            (
                "everything clinical is no bulk submit",
                "system/*.cruds",
                "system/bulk-submit",
                false,
            ),
            ("bulk submit by equality", "system/bulk-submit", "system/bulk-submit", true),
            (
                "a query narrows, so it covers nothing",
                "system/Patient.rs?x=y",
                "system/Patient.r",
                false,
            ),
            ("a query by equality", "system/Patient.rs?x=y", "system/Patient.rs?x=y", true),
            ("another query", "system/Patient.rs?x=y", "system/Patient.rs?x=z", false),
            ("all of it covers a query", "system/*.rs", "system/Patient.rs?x=y", true),
            ("but not its letters", "system/Patient.r", "system/Patient.rs?x=y", false),
            ("letters out of order are no scope", "system/Patient.sr", "system/Patient.r", false),
            ("letters twice are no scope", "system/Patient.rr", "system/Patient.r", false),
            ("no letters", "system/Patient.", "system/Patient.r", false),
            ("another level", "user/Patient.rs", "system/Patient.r", false),
            ("patient level", "patient/*.rs", "system/Patient.r", false),
            ("no type", "system/.rs", "system/Patient.r", false),
            ("a type is case-sensitive", "system/patient.rs", "system/patient.r", false),
            ("nothing held", "", "system/Patient.r", false),
        ];
        for (case, held, wanted, covered) in table {
            assert_eq!(covers(&list(held), wanted), covered, "{case}");
        }
    }

    #[test]
    fn a_query_is_that_of_its_type_and_letters() {
        let held = list("system/Patient.rs?a=b system/Patient.r?c=d system/Observation.rs?e=f");
        assert_eq!(narrowed(&held, "Patient", 'r'), ["a=b", "c=d"]);
        assert_eq!(narrowed(&held, "Patient", 's'), ["a=b"]);
        assert_eq!(narrowed(&held, "Patient", 'u'), [""; 0]);
        assert_eq!(narrowed(&held, "Encounter", 'r'), [""; 0]);
    }

    #[test]
    fn what_is_granted_is_asked_and_registered() {
        let table = [
            ("all", "system/Patient.rs", "system/*.cruds", "system/Patient.rs"),
            ("v1 keeps its spelling", "system/Patient.read", "system/*.rs", "system/Patient.read"),
            ("part", "system/Patient.cruds", "system/Patient.rs", "system/Patient.rs"),
            (
                "every type becomes those registered",
                "system/*.rs",
                "system/Patient.rs system/Encounter.cr",
                "system/Encounter.r system/Patient.rs",
            ),
            (
                "narrowed by whoever asks",
                "system/Patient.rs?x=y",
                "system/*.cruds",
                "system/Patient.rs?x=y",
            ),
            (
                "narrowed, with the letters that are registered",
                "system/Patient.rs?x=y",
                "system/Patient.cr",
                "system/Patient.r?x=y",
            ),
            ("nothing is written within a query", "system/Patient.cud?x=y", "system/*.cruds", ""),
            ("nor all types read", "system/*.rs?x=y", "system/*.cruds", ""),
            ("no query", "system/Patient.rs?", "system/*.cruds", ""),
            ("a query without a value", "system/Patient.rs?x", "system/*.cruds", ""),
            ("what controls the answer", "system/Patient.rs?_include=x", "system/*.cruds", ""),
            ("plain", "system/bulk-submit", "system/bulk-submit", "system/bulk-submit"),
            ("one of two", "a b", "b c", "b"),
            ("once", "a a", "a", "a"),
            ("nothing", "system/Patient.c", "system/Patient.rs", ""),
            ("not asked, not granted", "a", "a handover/operate", "a"),
        ];
        for (case, asked, registered, granted) in table {
            let asked: Vec<&str> = asked.split_whitespace().collect();
            let registered = list(registered);
            assert_eq!(grant(&asked, &registered), list(granted), "{case}");
            assert!(grant(&asked, &registered).iter().all(|s| covers(&registered, s)), "{case}");
        }
    }
}
