//! Members: who is insured here, and which of them a push is about.
//!
//! Comes in   a member file (CSV), a Patient, its Coverages.
//! Goes out   one member, or the issue that says why none: not named, unknown, another person.
//! Never      matches by demographics alone, nor by a member id alone; never quotes a value.
//!
//! The rule: a member id that the Patient or a Coverage gives, *and* the birth date, *and* a family
//! name must agree with one row. A family shares a member id, so the row is chosen by demographics;
//! twins are told apart by their given name. A Patient has one name here, the official one, and
//! every id it gives that this plan knows must lead to the same row: a push that names two members
//! names none. A plan may know a person by another identifier as well, such as a hospital's record
//! number: a row whose member id is written `system|value` is that identifier, and no other. Ids the plan does not know are another plan's, or old cards. Gender is not asked: it is the field most often
//! recorded differently by two houses, and never the one that tells two people apart who share all
//! of the above.

use crate::id::{Digest, Phi};
use crate::issue::{Code, Issue};
use crate::limits::{MEMBER_LINE_BYTES_MAX, MEMBERS_MAX};
use crate::place;
use fhir::{Node, Resource};
use std::collections::{BTreeSet, HashMap};

/// The header of a member file. Other columns may follow; they are not read.
pub const MEMBER_COLUMNS: [&str; 5] = ["member_id", "family", "given", "birth_date", "gender"];

/// `Identifier.type` of a member number: HL7 v2 table 0203, code `MB`.
const MEMBER_NUMBER: &str = "MB";
const IDENTIFIER_TYPES: &str = "http://terminology.hl7.org/CodeSystem/v2-0203";

/// `HumanName.use` of the name a plan's card bears.
const OFFICIAL: &str = "official";

/// All members of a plan, found by member id.
#[derive(Debug, Clone, Default)]
pub struct Members {
    rows: HashMap<Phi<String>, Vec<Member>>,
    count: usize,
}

/// One row of the member file; texts as compared.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    family: Phi<String>,
    given: Phi<String>,
    birth_date: Phi<String>,
}

/// The member a push is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberKey {
    /// The member id, as compared.
    pub member_id: Phi<String>,
    /// What tells the members of one family apart.
    person: Phi<String>,
}

impl MemberKey {
    /// A digest that only this house can make: member ids are few enough to be guessed, so a plain
    /// digest in the ledger would give them away.
    pub fn digest(&self, secret: &[u8]) -> Digest {
        let pieces = [secret, self.member_id.0.as_bytes(), self.person.0.as_bytes()];
        Digest::of_pieces(pieces)
    }
}

impl Members {
    /// Reads a member file. Errors: `ConfigInvalid`, naming the line.
    pub fn read(text: &str) -> Result<Members, Issue> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = text.lines().enumerate().map(|(n, line)| (n + 1, line));
        let (_, header) = lines.next().unwrap_or((1, ""));
        let header = fields(header).unwrap_or_default();
        if !header.iter().map(|name| name.trim()).take(5).eq(MEMBER_COLUMNS) {
            let columns = MEMBER_COLUMNS.join(",");
            return Err(bad_line(1, &format!("the header {columns} is needed")));
        }
        let mut members = Members::default();
        for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            members.take(number, line)?;
        }
        Ok(members)
    }

    fn take(&mut self, number: usize, line: &str) -> Result<(), Issue> {
        if line.len() > MEMBER_LINE_BYTES_MAX {
            return Err(bad_line(number, "the line is too long"));
        }
        if self.count == MEMBERS_MAX {
            return Err(bad_line(number, "the file has more members than this house holds"));
        }
        let fields = fields(line).ok_or_else(|| bad_line(number, "a quote is not closed"))?;
        let [member_id, family, given, birth_date, _gender, ..] = &fields[..] else {
            return Err(bad_line(number, "five fields are needed"));
        };
        let member_id = folded_id(member_id);
        if member_id.is_empty() {
            return Err(bad_line(number, "the member id is missing"));
        }
        let family = folded(family);
        if family.is_empty() {
            return Err(bad_line(number, "the family name is missing"));
        }
        if !is_date(birth_date.trim()) {
            return Err(bad_line(number, "the birth date is not written YYYY-MM-DD"));
        }
        let birth_date = Phi(birth_date.trim().to_owned());
        let member = Member { family: Phi(family), given: Phi(folded(given)), birth_date };
        let rows = self.rows.entry(Phi(member_id)).or_default();
        if rows.contains(&member) {
            return Err(bad_line(number, "the same person stands in the file twice"));
        }
        rows.push(member);
        self.count += 1;
        Ok(())
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The member a push is about. Errors: `MemberNotNamed`, `MemberUnknown`, `MemberMismatch`.
    pub fn match_member(
        &self,
        patient: &Resource,
        coverages: &[Resource],
    ) -> Result<MemberKey, Issue> {
        let numbers = member_ids(patient, coverages);
        let qualified = qualified_ids(patient).into_iter();
        let ids: BTreeSet<_> = qualified.filter(|id| self.rows.contains_key(id)).collect();
        let ids: BTreeSet<_> = ids.into_iter().chain(numbers).collect();
        if ids.is_empty() {
            let detail = "neither the Patient nor a Coverage of it gives a member id";
            return Err(Issue::new(Code::MemberNotNamed, detail).at("Patient.identifier"));
        }
        let known: Vec<_> = ids.iter().filter_map(|id| Some((id, self.rows.get(id)?))).collect();
        if known.is_empty() {
            let detail = "the member id given is not one of this plan's";
            return Err(Issue::new(Code::MemberUnknown, detail));
        }
        let person = Person::of(patient);
        let mut found: Option<(&Phi<String>, &Member)> = None;
        for (id, rows) in known {
            let row = person.chosen(rows)?;
            match found {
                None => found = Some((id, row)),
                Some((_, first)) if first == row => {}
                Some(_) => {
                    let detail = "the member ids given are those of different members";
                    return Err(Issue::new(Code::MemberMismatch, detail));
                }
            }
        }
        let unknown = || Issue::new(Code::MemberUnknown, "no member id is left to look for");
        found.map(|(id, row)| row.key(id)).ok_or_else(unknown)
    }

    /// The member a person has named by id. Errors: `MemberUnknown`; `MemberMismatch` where several
    /// members share the id, so that it names none of them.
    pub fn by_id(&self, id: &str) -> Result<MemberKey, Issue> {
        let id = Phi(folded_id(id));
        match self.rows.get(&id).map(Vec::as_slice) {
            None | Some([]) => {
                let detail = "the member id given is not one of this plan's";
                Err(Issue::new(Code::MemberUnknown, detail).at("member"))
            }
            Some([one]) => Ok(one.key(&id)),
            Some(_) => {
                let detail = "several members share this id";
                Err(Issue::new(Code::MemberMismatch, detail).at("member"))
            }
        }
    }
}

impl Member {
    fn key(&self, member_id: &Phi<String>) -> MemberKey {
        let person = Phi(format!("{}\n{}\n{}", self.birth_date.0, self.family.0, self.given.0));
        MemberKey { member_id: member_id.clone(), person }
    }
}

fn bad_line(number: usize, detail: &str) -> Issue {
    Issue::new(Code::ConfigInvalid, format!("line {number} of the member file: {detail}"))
}

/// What a Patient says of itself, as compared.
struct Person {
    family: Option<Phi<String>>,
    given: BTreeSet<Phi<String>>,
    birth_date: Option<Phi<String>>,
}

impl Person {
    fn of(patient: &Resource) -> Person {
        let doc = patient.doc();
        let text = |node: Node<'_, '_>| node.text().map(|text| text.into_owned());
        let official =
            |name: &Node<'_, '_>| name.get("use").and_then(text).as_deref() == Some(OFFICIAL);
        let mut names = each(doc.root(), "name");
        let first = names.next();
        let name = first.filter(official).or_else(|| names.find(official)).or(first);
        let family = name.and_then(|name| name.get("family")).and_then(text);
        let given = name.into_iter().flat_map(|name| each(name, "given")).filter_map(text);
        let birth_date = doc.root().get("birthDate").and_then(text);
        Person {
            family: family.map(|text| Phi(folded(&text))),
            given: given.map(|text| Phi(folded(&text))).collect(),
            birth_date: birth_date.map(|date| Phi(date.trim().to_owned())),
        }
    }

    fn agrees(&self, row: &Member) -> bool {
        self.birth_date.as_ref() == Some(&row.birth_date)
            && self.family.as_ref() == Some(&row.family)
    }

    /// The row of this person among those who share a member id.
    fn chosen<'m>(&self, rows: &'m [Member]) -> Result<&'m Member, Issue> {
        let agreeing: Vec<_> = rows.iter().filter(|row| self.agrees(row)).collect();
        let mut named = agreeing.iter().filter(|row| self.given.contains(&row.given));
        match (&agreeing[..], named.next(), named.next()) {
            ([], ..) => {
                let detail = "birth date and family name are not those of a member with this id";
                Err(Issue::new(Code::MemberMismatch, detail))
            }
            ([one], ..) | (_, Some(one), None) => Ok(one),
            _ => {
                let detail = "several members fit, and the given name does not tell which";
                Err(Issue::new(Code::MemberMismatch, detail))
            }
        }
    }
}

/// Every member id that the Patient, or a Coverage of which it is the beneficiary, gives.
fn member_ids(patient: &Resource, coverages: &[Resource]) -> BTreeSet<Phi<String>> {
    let mut ids = BTreeSet::new();
    let mut take = |text: &str| {
        let id = folded_id(text);
        if !id.is_empty() {
            ids.insert(Phi(id));
        }
    };
    let doc = patient.doc();
    member_numbers(doc.root()).iter().for_each(|id| take(id));
    for coverage in coverages {
        let doc = coverage.doc();
        if !covers(doc.root(), patient) {
            continue;
        }
        member_numbers(doc.root()).iter().for_each(|id| take(id));
        if let Some(subscriber) = doc.root().get("subscriberId").and_then(|node| node.text()) {
            take(&subscriber);
        }
    }
    ids
}

/// Every identifier of the Patient with its system, as a row of the member file may name it.
fn qualified_ids(patient: &Resource) -> BTreeSet<Phi<String>> {
    let doc = patient.doc();
    let identifiers = each(doc.root(), "identifier");
    let qualified = identifiers.filter_map(|identifier| {
        let text = |name: &str| identifier.get(name).and_then(|node| node.text());
        let (system, value) = (text("system")?, text("value")?);
        (!system.is_empty() && !value.is_empty()).then(|| format!("{system}|{value}"))
    });
    qualified.map(|text| Phi(folded_id(&text))).collect()
}

/// Whether the beneficiary is this patient, as far as it is said.
fn covers(coverage: Node<'_, '_>, patient: &Resource) -> bool {
    let reference = coverage.get("beneficiary").and_then(|it| it.get("reference")?.text());
    let named = reference.as_deref().and_then(place::type_and_id);
    named.is_none_or(|target| Some(target.1) == patient.id() && target.0 == patient.kind())
}

/// `identifier` values of type `MB`.
pub(crate) fn member_numbers(root: Node<'_, '_>) -> Vec<String> {
    let is_member_number = |identifier: &Node<'_, '_>| {
        let codings = identifier.get("type").into_iter().flat_map(|it| each(it, "coding"));
        codings.into_iter().any(|coding| {
            let text = |name: &str| coding.get(name).and_then(|node| node.text());
            text("code").as_deref() == Some(MEMBER_NUMBER)
                && text("system").is_none_or(|system| system == IDENTIFIER_TYPES)
        })
    };
    let values = each(root, "identifier").filter(is_member_number);
    values.filter_map(|it| Some(it.get("value")?.text()?.into_owned())).collect()
}

fn each<'d, 'a>(node: Node<'d, 'a>, name: &str) -> impl Iterator<Item = Node<'d, 'a>> {
    node.get(name).into_iter().flat_map(|list| list.each())
}

/// A member id as compared: upper case, without the spaces and hyphens cards are printed with.
pub(crate) fn folded_id(text: &str) -> String {
    let kept = text.chars().filter(|c| !c.is_whitespace() && *c != '-');
    kept.flat_map(char::to_uppercase).collect()
}

/// A name as compared: letters and digits in lower case, without the common accents.
fn folded(text: &str) -> String {
    let letters = text.chars().flat_map(char::to_lowercase).filter(|c| c.is_alphanumeric());
    letters.fold(String::with_capacity(text.len()), |mut name, letter| {
        match plain(letter) {
            Some(plain) => name.push_str(plain),
            None => name.push(letter),
        }
        name
    })
}

/// Letters of Latin-1 and Latin Extended-A without their marks.
fn plain(letter: char) -> Option<&'static str> {
    Some(match letter {
        'à'..='å' | 'ā' | 'ă' | 'ą' => "a",
        'æ' => "ae",
        'ç' | 'ć' | 'č' => "c",
        'ď' | 'đ' | 'ð' => "d",
        'è'..='ë' | 'ē' | 'ė' | 'ę' | 'ě' => "e",
        'ğ' => "g",
        'ì'..='ï' | 'ī' | 'į' | 'ı' => "i",
        'ł' => "l",
        'ñ' | 'ń' | 'ň' => "n",
        'ò'..='ö' | 'ø' | 'ō' | 'ő' => "o",
        'œ' => "oe",
        'ř' => "r",
        'ś' | 'ş' | 'š' => "s",
        'ß' => "ss",
        'ť' | 'ţ' => "t",
        'ù'..='ü' | 'ū' | 'ů' | 'ű' => "u",
        'ý' | 'ÿ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        _ => return None,
    })
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

/// The fields of one line of CSV (RFC 4180, without line breaks in fields); `None` for a quote
/// that is not closed or stands in the middle of a field.
pub(crate) fn fields(line: &str) -> Option<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        let field = fields.last_mut()?;
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' if quoted => {
                quoted = false;
                if !matches!(letters.peek(), None | Some(',')) {
                    return None;
                }
            }
            '"' if field.is_empty() => quoted = true,
            '"' => return None,
            ',' if !quoted => fields.push(String::new()),
            letter => field.push(letter),
        }
    }
    (!quoted).then_some(fields)
}
