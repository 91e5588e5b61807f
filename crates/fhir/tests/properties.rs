//! Goal: what holds for every input: no panic, agreement with a second reader, edits that do what
//! they say and nothing else.
//!
//! How: arbitrary bytes, arbitrary trees, and resources with bytes changed; `serde_json` is the
//! second reader.

#![allow(clippy::unwrap_used)]

mod fuzz_one;
mod seeds;
mod trees;

use fhir::{Doc, Edits, Kind, Node, Reason, Resource};
use fuzz_one::fuzz_one;
use proptest::prelude::*;
use serde_json::Value;
use trees::{choices, document, mutated, removed, tree};

/// Faults that are ours alone: RFC 8259 and serde_json let them pass.
fn is_stricter(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::DuplicateMember
            | Reason::EscapedName
            | Reason::Nought
            | Reason::TooDeep
            | Reason::ByteOrderMark
    )
}

fn value_of(node: Node<'_, '_>) -> Value {
    match node.kind() {
        Kind::Object => node
            .members()
            .map(|it| (it.name().to_owned(), value_of(it)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Kind::Array => node.items().map(value_of).collect::<Vec<_>>().into(),
        Kind::String => node.text().unwrap().into_owned().into(),
        Kind::Number | Kind::Boolean | Kind::Null => serde_json::from_str(node.raw()).unwrap(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz_one(&bytes);
    }

    #[test]
    fn no_text_of_json_signs_makes_a_reader_panic(text in r#"[\[\]{}",:\\ue0-9a-dtrfn\-+. \n]{0,80}"#) {
        fuzz_one(text.as_bytes());
    }

    #[test]
    fn no_changed_resource_makes_a_reader_panic(bytes in mutated()) {
        fuzz_one(&bytes);
    }

    #[test]
    fn every_tree_is_read_and_every_value_reads_again(tree in tree(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&tree) } else { serde_json::to_string(&tree) }.unwrap();
        let doc = Doc::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(value_of(doc.root()), tree);
        for node in doc.root().descendants() {
            let again = Doc::parse(node.raw().as_bytes()).unwrap();
            prop_assert_eq!(value_of(again.root()), value_of(node));
            prop_assert_eq!(doc.node_at(&node.span()), Some(node));
            let parent = doc.parent(node);
            prop_assert!(parent.is_none_or(|parent| parent.children().any(|child| child == node)));
            prop_assert_eq!(parent.is_none(), node == doc.root());
        }
    }

    #[test]
    fn both_readers_agree_on_what_is_json(bytes in mutated()) {
        let ours = Doc::parse(&bytes);
        let theirs = serde_json::from_slice::<Value>(&bytes);
        match &ours {
            Ok(doc) => prop_assert_eq!(value_of(doc.root()), theirs.unwrap()),
            Err(error) => {
                prop_assert!(theirs.is_err() || is_stricter(error.reason), "{error}");
                prop_assert!(error.offset <= bytes.len());
            }
        }
    }

    #[test]
    fn removing_takes_away_what_was_named_and_nothing_else(
        (tree, choices) in (document(), choices()), pretty in any::<bool>()
    ) {
        let text = if pretty { serde_json::to_string_pretty(&tree) } else { serde_json::to_string(&tree) }.unwrap();
        let doc = Doc::parse(text.as_bytes()).unwrap();
        let mut edits = Edits::new(&doc);
        let mut gone = Vec::new();
        for (index, node) in doc.root().descendants().enumerate().skip(1) {
            gone.push(choices.picks(index));
            if choices.picks(index) {
                edits.remove(node);
            }
        }
        let out = edits.apply();
        let expected = removed(&tree, &mut gone.into_iter()).unwrap_or_else(|| Value::Object(Default::default()));
        prop_assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), expected);
    }

    #[test]
    fn replacing_and_inserting_change_what_was_named_and_nothing_else(
        (tree, choices) in (document(), choices())
    ) {
        let text = serde_json::to_string(&tree).unwrap();
        let doc = Doc::parse(text.as_bytes()).unwrap();
        let mut edits = Edits::new(&doc);
        let mut expected = text.clone();
        // From the back, so that positions before stay what they were.
        let mut nodes: Vec<_> = doc.root().descendants().enumerate().collect();
        nodes.reverse();
        nodes.sort_by_key(|(_, node)| std::cmp::Reverse(node.span().start));
        for (index, node) in nodes {
            let empty = node.children().next().is_none();
            if node.kind() == Kind::Object && choices.picks(index) {
                edits.insert(node, "new name\"", "[1.00]");
                let comma = if empty { "" } else { "," };
                expected.insert_str(node.span().start + 1, &format!(r#""new name\"":[1.00]{comma}"#));
            } else if node.kind() != Kind::Object && empty && choices.picks(index) {
                edits.set_text(node, "new\n");
                expected.replace_range(node.span(), r#""new\n""#);
            }
        }
        let changed = !edits.is_empty();
        prop_assert_eq!(changed, expected != text);
        prop_assert_eq!(String::from_utf8(edits.apply()).unwrap(), expected);
    }

    #[test]
    fn references_are_rewritten_and_read_back(
        texts in prop::collection::vec(any::<String>(), 0..20), suffix in any::<String>()
    ) {
        let items: Vec<Value> = texts.iter().map(|text| serde_json::json!({ "reference": text, "display": text })).collect();
        let tree = serde_json::json!({
            "focus": [{ "reference": suffix }], "id": "x", "performer": items,
            "meta": { "source": "urn:x", "extension": [{ "valueReference": { "reference": "é\"" } }] },
            "resourceType": "Observation"
        });
        let resource = Resource::parse(serde_json::to_vec_pretty(&tree).unwrap()).unwrap();
        prop_assert_eq!(resource.references().len(), texts.len() + 2);
        let doc = resource.doc();
        let mut edits = Edits::new(&doc);
        for found in resource.references() {
            let new = format!("{}{suffix}", resource.reference_text(found));
            let literal = fhir::edit::quoted(&new);
            edits.replace(found.span.clone(), &literal[1..literal.len() - 1]);
        }
        let again = Resource::parse(edits.apply()).unwrap();
        let at_once = resource.rewrite_references(|_, text| Some(format!("{text}{suffix}")));
        prop_assert_eq!(&at_once, &again);
        prop_assert_eq!(at_once.references(), again.references());
        prop_assert_eq!((at_once.kind(), at_once.id(), at_once.source()), (again.kind(), again.id(), again.source()));
        let back: Vec<_> = again.references().iter().map(|found| again.reference_text(found).into_owned()).collect();
        let texts: Vec<_> = std::iter::once(suffix.clone()).chain(texts).chain(["é\"".to_owned()]).collect();
        let expected: Vec<_> = texts.iter().map(|text| format!("{text}{suffix}")).collect();
        prop_assert_eq!(back, expected);
        let displays = again.doc().root().get("performer").into_iter().flat_map(|list| list.items())
            .map(|item| item.get("display").unwrap().text().unwrap().into_owned()).collect::<Vec<_>>();
        prop_assert_eq!(&displays, &texts[1..texts.len() - 1]);
        // Under another id, longer or shorter or the first, everything else stands.
        for tree in [tree.clone(), { let mut bare = tree.clone(); bare.as_object_mut().unwrap().remove("id"); bare }] {
            let resource = Resource::parse(serde_json::to_vec_pretty(&tree).unwrap()).unwrap();
            let renamed = resource.with_id("a-much.longer-id");
            let again = Resource::parse(renamed.bytes().clone()).unwrap();
            prop_assert_eq!(renamed.references(), again.references());
            prop_assert_eq!((renamed.kind(), renamed.id(), renamed.source()), (again.kind(), again.id(), again.source()));
            let mut value: Value = serde_json::from_slice(renamed.bytes()).unwrap();
            prop_assert_eq!(value["id"].take(), "a-much.longer-id");
            let mut own = tree;
            own["id"] = Value::Null;
            prop_assert_eq!(value, own);
        }
    }
}
