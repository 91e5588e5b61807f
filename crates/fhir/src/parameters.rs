//! Parameters: the form in which operations are asked and answered.
//!
//! Comes in   the bytes of a Parameters resource, or the values to write one.
//! Goes out   parameters by name, with values, resources (slices, not copies) and parts.
//! Never      turns a value into a number: texts stay as they were written.

use crate::bundle_writer::Object;
use crate::json::{Doc, Node, ParseError, Reason};
use crate::read::{objects, required, resource_type};
use crate::resource::Resource;
use bytes::Bytes;

/// A Parameters resource (R4 §2.37).
#[derive(Debug, Clone)]
pub struct Parameters {
    parameters: Vec<Parameter>,
}

/// One parameter: a value, a resource or parts.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its `value[x]`.
    pub value: Option<Value>,
    /// Its resource: a slice of the body.
    pub resource: Option<Resource>,
    /// Its parts.
    pub parts: Vec<Parameter>,
}

/// A `value[x]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The member's name with the type in it: `valueString`.
    pub element: String,
    /// The value of a primitive: strings with escapes resolved, numbers and booleans as written.
    pub text: Option<String>,
    /// The JSON as it came, for types that are objects (`valueCoding`).
    pub raw: Bytes,
}

impl Parameters {
    /// Reads a Parameters resource. Errors name byte and FHIRPath.
    pub fn parse(bytes: impl Into<Bytes>) -> Result<Parameters, ParseError> {
        let bytes = bytes.into();
        let doc = Doc::parse(&bytes)?;
        resource_type(doc.root(), "Parameters")?;
        Ok(Parameters { parameters: read_list(&bytes, doc.root(), "parameter")? })
    }

    /// The first parameter of this name.
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.all(name).next()
    }

    /// Every parameter of this name, in their order.
    pub fn all<'p, 'n>(
        &'p self,
        name: &'n str,
    ) -> impl Iterator<Item = &'p Parameter> + use<'p, 'n> {
        named(&self.parameters, name)
    }

    /// The text of the first parameter of this name that has a primitive value.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.all(name).find_map(Parameter::text)
    }

    /// All parameters, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Parameter> {
        self.parameters.iter()
    }
}

impl Parameter {
    /// The text of a primitive value.
    pub fn text(&self) -> Option<&str> {
        self.value.as_ref()?.text.as_deref()
    }

    /// The first part of this name.
    pub fn part(&self, name: &str) -> Option<&Parameter> {
        self.parts(name).next()
    }

    /// Every part of this name, in their order.
    pub fn parts<'p, 'n>(
        &'p self,
        name: &'n str,
    ) -> impl Iterator<Item = &'p Parameter> + use<'p, 'n> {
        named(&self.parts, name)
    }

    fn read(body: &Bytes, node: Node<'_, '_>) -> Result<Parameter, ParseError> {
        let mut values = node.members().filter(|member| is_value(member.name()));
        let value = values.next();
        if let Some(second) = values.next() {
            return Err(second.error(Reason::Value("a parameter has one value")));
        }
        let resource = node.get("resource");
        Ok(Parameter {
            name: required(node, "name")?,
            value: value.map(|value| Value::read(body, value)).transpose()?,
            resource: resource.map(|found| Resource::within(body, found)).transpose()?,
            parts: read_list(body, node, "part")?,
        })
    }
}

impl Value {
    fn read(body: &Bytes, node: Node<'_, '_>) -> Result<Value, ParseError> {
        let text = node.primitive().map(|text| text.into_owned());
        if text.is_none() && node.kind() != crate::Kind::Object {
            return Err(node.error(Reason::WrongType("a primitive or an object")));
        }
        Ok(Value { element: node.name().to_owned(), text, raw: body.slice(node.span()) })
    }
}

fn named<'p, 'n>(
    list: &'p [Parameter],
    name: &'n str,
) -> impl Iterator<Item = &'p Parameter> + use<'p, 'n> {
    list.iter().filter(move |parameter| parameter.name == name)
}

/// `value[x]`: `value` and a type, which begins with a capital.
fn is_value(name: &str) -> bool {
    name.strip_prefix("value")
        .is_some_and(|kind| kind.starts_with(|c: char| c.is_ascii_uppercase()))
}

fn read_list(body: &Bytes, node: Node<'_, '_>, name: &str) -> Result<Vec<Parameter>, ParseError> {
    objects(node, name)?.into_iter().map(|item| Parameter::read(body, item)).collect()
}

/// Writes parameters in the order they are added; the same input gives the same bytes.
#[derive(Debug, Clone, Default)]
pub struct ParametersWriter {
    list: Vec<u8>,
}

impl ParametersWriter {
    /// No parameter yet.
    pub fn new() -> ParametersWriter {
        ParametersWriter::default()
    }

    /// Adds a string-like value: `text("version", "valueCode", "4.0")`.
    pub fn text(self, name: &str, element: &str, text: &str) -> ParametersWriter {
        self.add(name, |object| object.text(element, Some(text)))
    }

    /// Adds a value that is JSON already: a number, a boolean, a Coding.
    pub fn raw(self, name: &str, element: &str, json: &[u8]) -> ParametersWriter {
        self.add(name, |object| object.raw(element, Some(json)))
    }

    /// Adds a resource's bytes as they are.
    pub fn resource(self, name: &str, resource: &[u8]) -> ParametersWriter {
        self.add(name, |object| object.raw("resource", Some(resource)))
    }

    /// Adds a parameter with parts; without any part, nothing is added (nothing is ever empty).
    pub fn parts(self, name: &str, parts: ParametersWriter) -> ParametersWriter {
        if parts.list.is_empty() {
            return self;
        }
        self.add(name, |object| object.list("part", |out| out.extend_from_slice(&parts.list)))
    }

    fn add(mut self, name: &str, write: impl FnOnce(&mut Object<'_>)) -> ParametersWriter {
        self.list.extend_from_slice(if self.list.is_empty() { b"" } else { b"," });
        let mut object = Object::open(&mut self.list);
        object.text("name", Some(name));
        write(&mut object);
        object.close();
        self
    }

    /// The bytes of the resource.
    pub fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.list.len() + 64);
        let mut object = Object::open(&mut out);
        object.text("resourceType", Some("Parameters"));
        if !self.list.is_empty() {
            object.list("parameter", |out| out.extend_from_slice(&self.list));
        }
        object.close();
        out
    }
}
