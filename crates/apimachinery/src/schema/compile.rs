//! From OpenAPI v3 JSON to the arena.

use std::collections::{BTreeMap, HashMap};

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use super::Schema;
use super::format::Format;
use super::node::{Bounds, Limit, Name, Node, NodeId, PatchMeta, Property, Rules, Types};

pub(super) const REF_PREFIX: &str = "#/components/schemas/";
pub(super) const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
/// Schemas nested deeper, or with more nodes, are refused.
const MAX_SCHEMA_DEPTH: usize = 100;
const MAX_NODES: usize = 200_000;
/// Bytes that one compiled pattern may take.
const MAX_PATTERN: usize = 1 << 18;

/// Component schemas by name.
pub(super) type Components = BTreeMap<String, Value>;

/// Why a schema does not compile.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {message}")]
pub struct CompileError {
    /// Where in the schema, such as `properties.spec.pattern`.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

impl CompileError {
    fn new(message: impl Into<String>) -> Self {
        Self { path: String::new(), message: message.into() }
    }

    fn below(mut self, step: &str) -> Self {
        let rest = std::mem::replace(&mut self.path, step.to_owned());
        if !rest.is_empty() {
            self.path.push('.');
            self.path.push_str(&rest);
        }
        self
    }
}

type Result<T> = std::result::Result<T, CompileError>;

impl Schema {
    /// Compiles the `openAPIV3Schema` of a custom resource's version. `metadata` gets the fields of ObjectMeta,
    /// `apiVersion` and `kind` are known even when the schema does not speak of them.
    pub fn from_crd(schema: &Value) -> Result<Self> {
        let components = super::vendored::object_meta();
        let mut compiler = Compiler::new(&components, false);
        let root = compiler.resource(schema)?;
        compiler.finish(root)
    }

    /// Compiles one component of a built-in kind's OpenAPI document.
    pub(super) fn from_components(components: &Components, name: &str) -> Result<Self> {
        let mut compiler = Compiler::new(components, true);
        let root = compiler.component(name)?;
        compiler.finish(root)
    }
}

/// Whether a subschema says what exists or only judges values (inside `oneOf` and its like).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Role {
    Structure,
    Judge,
}

struct Compiler<'a> {
    components: &'a Components,
    nodes: Vec<Node>,
    names: String,
    interned: HashMap<&'a str, Name>,
    /// Equal subschemas share a node.
    seen: HashMap<(Role, bool, &'a Value), NodeId>,
    refs: HashMap<&'a str, NodeId>,
    typed: bool,
    depth: usize,
}

impl<'a> Compiler<'a> {
    fn new(components: &'a Components, typed: bool) -> Self {
        Self {
            components,
            nodes: Vec::new(),
            names: String::new(),
            interned: HashMap::new(),
            seen: HashMap::new(),
            refs: HashMap::new(),
            typed,
            depth: 0,
        }
    }

    fn finish(mut self, root: NodeId) -> Result<Schema> {
        let bases: Vec<Option<NodeId>> = self.nodes.iter().map(|n| n.base).collect();
        for start in &bases {
            let mut base = *start;
            for _ in 0..MAX_SCHEMA_DEPTH {
                base = base.and_then(|id| bases.get(id.index()).copied().flatten());
            }
            if base.is_some() {
                return Err(CompileError::new("a $ref leads back to itself"));
            }
        }
        self.names.shrink_to_fit();
        Ok(Schema { nodes: self.nodes.into(), names: self.names.into(), root })
    }

    fn push(&mut self, node: Node) -> Result<NodeId> {
        let id = NodeId::new(self.nodes.len()).filter(|_| self.nodes.len() < MAX_NODES);
        self.nodes.push(node);
        id.ok_or_else(|| CompileError::new("the schema has too many parts"))
    }

    fn name(&mut self, text: &'a str) -> Result<Name> {
        if let Some(name) = self.interned.get(text) {
            return Ok(*name);
        }
        let name = self.store(text)?;
        self.interned.insert(text, name);
        Ok(name)
    }

    fn store(&mut self, text: &str) -> Result<Name> {
        let too_large = |_| CompileError::new("the schema is too large");
        let start = u32::try_from(self.names.len()).map_err(too_large)?;
        let len = u32::try_from(text.len()).map_err(too_large)?;
        self.names.push_str(text);
        Ok(Name { start, len })
    }

    /// The node of a component. Its place is taken before its body is compiled, so that it may mention itself.
    fn component(&mut self, name: &str) -> Result<NodeId> {
        if let Some(id) = self.refs.get(name) {
            return Ok(*id);
        }
        let Some((name, body)) = self.components.get_key_value(name) else {
            return Err(CompileError::new(format!("there is no component {name:?}")));
        };
        let id = self.push(Node::default())?;
        self.refs.insert(name, id);
        let typed = std::mem::replace(&mut self.typed, true);
        let node = self.build(body, Role::Structure);
        self.typed = typed;
        let mut node = node?;
        if name == QUANTITY {
            node.format = Format::Quantity;
        }
        self.nodes[id.index()] = node;
        Ok(id)
    }

    /// The node of an object with `apiVersion`, `kind` and `metadata`.
    fn resource(&mut self, schema: &'a Value) -> Result<NodeId> {
        let mut node = self.build(schema, Role::Structure)?;
        node.types = Types::OBJECT;
        self.make_resource(&mut node, schema)?;
        self.push(node)
    }

    fn make_resource(&mut self, node: &mut Node, schema: &'a Value) -> Result<()> {
        let mut properties: Vec<Property> = std::mem::take(&mut node.properties).into();
        for name in ["apiVersion", "kind", "metadata"] {
            let name_id = self.name(name)?;
            let declared = properties.iter().position(|p| p.name == name_id);
            let id = match (name, schema.get("properties").and_then(|p| p.get(name))) {
                ("metadata", declared) => {
                    let base = Some(self.component(OBJECT_META)?);
                    let all_of = match declared {
                        Some(own) => [self.compile(own, Role::Judge)?].into(),
                        None => [].into(),
                    };
                    let rules = Some(Box::new(Rules { all_of, ..Rules::default() }));
                    self.push(Node { base, rules, ..Node::default() })?
                }
                (_, Some(_)) => continue,
                (_, None) => self.push(Node { types: Types::STRING, ..Node::default() })?,
            };
            let property = Property { name: name_id, schema: id };
            match declared {
                Some(i) => properties[i] = property,
                None => properties.push(property),
            }
        }
        self.sort(&mut properties);
        node.properties = properties.into();
        Ok(())
    }

    fn sort(&self, properties: &mut [Property]) {
        properties.sort_by(|a, b| a.name.bytes_of(&self.names).cmp(b.name.bytes_of(&self.names)));
    }

    fn compile(&mut self, schema: &'a Value, role: Role) -> Result<NodeId> {
        if let Some(name) = only_ref(schema) {
            return match role {
                Role::Structure => self.component(name),
                // A rule that includes itself would judge a value for ever.
                Role::Judge => Err(CompileError::new("a $ref is not possible inside oneOf, anyOf, allOf or not")),
            };
        }
        let key = (role, self.typed, schema);
        if let Some(id) = self.seen.get(&key) {
            return Ok(*id);
        }
        let node = self.build(schema, role)?;
        let id = self.push(node)?;
        self.seen.insert(key, id);
        Ok(id)
    }

    fn build(&mut self, schema: &'a Value, role: Role) -> Result<Node> {
        self.depth += 1;
        if self.depth > MAX_SCHEMA_DEPTH {
            return Err(CompileError::new("nested too deeply"));
        }
        let node = match schema {
            Value::Object(fields) => self.build_object(schema, fields, role),
            Value::Bool(true) => Ok(Node { preserve: true, ..Node::default() }),
            _ => Err(CompileError::new("a schema must be an object")),
        };
        self.depth -= 1;
        node
    }

    fn build_object(&mut self, schema: &'a Value, fields: &'a Map<String, Value>, role: Role) -> Result<Node> {
        let is_set = |key: &str| fields.get(key).and_then(Value::as_bool).unwrap_or(false);
        let mut node = Node {
            types: types(fields)?,
            format: fields.get("format").and_then(Value::as_str).map(Format::parse).unwrap_or_default(),
            nullable: is_set("nullable"),
            preserve: is_set("x-kubernetes-preserve-unknown-fields"),
            typed: self.typed,
            ..Node::default()
        };
        if let Some(name) = only_ref(schema) {
            node.base = Some(self.component(name)?);
        }
        if let Some(all_of) = fields.get("allOf").and_then(Value::as_array)
            && let [one] = all_of.as_slice()
            && let Some(name) = only_ref(one)
        {
            // The generator's way to give a reference a default of its own.
            if role == Role::Judge {
                return Err(CompileError::new("a $ref is not possible inside oneOf, anyOf, allOf or not"));
            }
            node.base = Some(self.component(name)?);
        }
        node.default = fields.get("default").filter(|d| !(self.typed && is_zero(d))).map(|d| Box::new(d.clone()));
        node.items = self.child(fields, "items", role)?;
        node.values = match fields.get("additionalProperties") {
            Some(Value::Bool(false)) => None,
            _ => self.child(fields, "additionalProperties", role)?,
        };
        node.properties = self.properties(fields, role)?;
        node.patch = self.patch(fields)?;
        node.rules = self.rules(fields, node.types, node.base.is_some())?;
        if is_set("x-kubernetes-embedded-resource") {
            self.make_resource(&mut node, schema)?;
        }
        Ok(node)
    }

    fn child(&mut self, fields: &'a Map<String, Value>, key: &str, role: Role) -> Result<Option<NodeId>> {
        fields.get(key).map(|schema| self.compile(schema, role).map_err(|e| e.below(key))).transpose()
    }

    fn properties(&mut self, fields: &'a Map<String, Value>, role: Role) -> Result<Box<[Property]>> {
        let mut properties = Vec::new();
        for (name, schema) in object(fields, "properties")?.into_iter().flatten() {
            let id = self.compile(schema, role).map_err(|e| e.below(name).below("properties"))?;
            properties.push(Property { name: self.name(name)?, schema: id });
        }
        self.sort(&mut properties);
        Ok(properties.into())
    }

    fn patch(&mut self, fields: &'a Map<String, Value>) -> Result<Option<PatchMeta>> {
        let Some(strategy) = fields.get("x-kubernetes-patch-strategy").and_then(Value::as_str) else {
            return Ok(None);
        };
        let key = fields.get("x-kubernetes-patch-merge-key").and_then(Value::as_str);
        let has = |name| strategy.split(',').any(|s| s == name);
        Ok(Some(PatchMeta {
            merge: has("merge"),
            replace: has("replace"),
            merge_key: key.map(|k| self.name(k)).transpose()?,
        }))
    }

    fn rules(&mut self, fields: &'a Map<String, Value>, types: Types, included: bool) -> Result<Option<Box<Rules>>> {
        let mut rules = Rules {
            required: self.names(fields, "required")?,
            allowed: list(fields, "enum")?.into_iter().flatten().cloned().collect(),
            minimum: limit(fields, "minimum", "exclusiveMinimum")?,
            maximum: limit(fields, "maximum", "exclusiveMaximum")?,
            multiple_of: number(fields, "multipleOf")?.filter(|n| *n > 0.0),
            length: bounds(fields, "minLength", "maxLength")?,
            items: bounds(fields, "minItems", "maxItems")?,
            properties: bounds(fields, "minProperties", "maxProperties")?,
            unique: fields.get("uniqueItems").and_then(Value::as_bool).unwrap_or(false),
            ..Rules::default()
        };
        rules.pattern = pattern(fields)?;
        match fields.get("x-kubernetes-list-type").and_then(Value::as_str) {
            Some("set") if !self.typed => rules.unique = true,
            Some("map") if !self.typed => rules.map_keys = self.names(fields, "x-kubernetes-list-map-keys")?,
            _ => {}
        }
        if !included {
            rules.all_of = self.judges(fields, "allOf")?;
        }
        // What only names types is in the node's types already, where errors read better.
        if union(fields).is_none_or(|u| u != types) {
            rules.any_of = self.judges(fields, "anyOf")?;
            rules.one_of = self.judges(fields, "oneOf")?;
        }
        rules.not = self.child(fields, "not", Role::Judge)?;
        if let Some(validations) = fields.get("x-kubernetes-validations") {
            rules.validations = Some(self.store(&validations.to_string())?);
        }
        Ok((!rules.is_empty()).then(|| Box::new(rules)))
    }

    fn names(&mut self, fields: &'a Map<String, Value>, key: &str) -> Result<Box<[Name]>> {
        let mut names = Vec::new();
        for name in list(fields, key)?.into_iter().flatten() {
            let name = name.as_str().ok_or_else(|| CompileError::new("must hold strings").below(key))?;
            names.push(self.name(name)?);
        }
        Ok(names.into())
    }

    fn judges(&mut self, fields: &'a Map<String, Value>, key: &str) -> Result<Box<[NodeId]>> {
        let schemas = list(fields, key)?.into_iter().flatten();
        schemas.map(|schema| self.compile(schema, Role::Judge).map_err(|e| e.below(key))).collect()
    }
}

fn only_ref(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str().map(|name| name.strip_prefix(REF_PREFIX).unwrap_or(name))
}

fn types(fields: &Map<String, Value>) -> Result<Types> {
    if fields.get("x-kubernetes-int-or-string").and_then(Value::as_bool) == Some(true) {
        return Ok(Types::INTEGER.with(Types::STRING));
    }
    match fields.get("type") {
        Some(Value::String(name)) => {
            Types::parse(name).ok_or_else(|| CompileError::new(format!("unknown type {name:?}")).below("type"))
        }
        Some(_) => Err(CompileError::new("must be a string").below("type")),
        None if fields.contains_key("properties") || fields.contains_key("additionalProperties") => Ok(Types::OBJECT),
        None => Ok(union(fields).unwrap_or_default()),
    }
}

/// The types of an `anyOf` or `oneOf` whose members say nothing but a type.
fn union(fields: &Map<String, Value>) -> Option<Types> {
    let members = match (fields.get("anyOf"), fields.get("oneOf")) {
        (Some(one), None) | (None, Some(one)) => one.as_array()?,
        _ => return None,
    };
    members.iter().try_fold(Types::default(), |all, member| {
        let member = member.as_object().filter(|m| m.len() == 1)?;
        Types::parse(member.get("type")?.as_str()?).map(|t| all.with(t))
    })
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::String(s) => s.is_empty(),
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::Object(o) => o.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Bool(b) => !b,
        Value::Null => true,
    }
}

fn object<'a>(fields: &'a Map<String, Value>, key: &str) -> Result<Option<&'a Map<String, Value>>> {
    let found = fields.get(key).map(|v| v.as_object().ok_or_else(|| CompileError::new("must be an object").below(key)));
    found.transpose()
}

fn list<'a>(fields: &'a Map<String, Value>, key: &str) -> Result<Option<&'a Vec<Value>>> {
    fields.get(key).map(|v| v.as_array().ok_or_else(|| CompileError::new("must be a list").below(key))).transpose()
}

fn number(fields: &Map<String, Value>, key: &str) -> Result<Option<f64>> {
    fields.get(key).map(|v| v.as_f64().ok_or_else(|| CompileError::new("must be a number").below(key))).transpose()
}

fn limit(fields: &Map<String, Value>, key: &str, exclusive: &str) -> Result<Option<Limit>> {
    let exclusive = fields.get(exclusive).and_then(Value::as_bool).unwrap_or(false);
    Ok(number(fields, key)?.map(|value| Limit { value, exclusive }))
}

fn bounds(fields: &Map<String, Value>, min: &str, max: &str) -> Result<Bounds> {
    let count = |key: &str| match fields.get(key) {
        Some(v) => v.as_u64().map(Some).ok_or_else(|| CompileError::new("must be a count").below(key)),
        None => Ok(None),
    };
    Ok(Bounds { min: count(min)?, max: count(max)? })
}

fn pattern(fields: &Map<String, Value>) -> Result<Option<Regex>> {
    let Some(source) = fields.get("pattern").and_then(Value::as_str) else {
        return Ok(None);
    };
    let regex = RegexBuilder::new(source).size_limit(MAX_PATTERN).dfa_size_limit(MAX_PATTERN).build();
    regex.map(Some).map_err(|e| CompileError::new(e.to_string()).below("pattern"))
}

impl Rules {
    fn is_empty(&self) -> bool {
        let lists = self.required.is_empty()
            && self.allowed.is_empty()
            && self.map_keys.is_empty()
            && self.all_of.is_empty()
            && self.any_of.is_empty()
            && self.one_of.is_empty();
        let bounds = [self.length, self.items, self.properties].iter().all(|b| b.min.is_none() && b.max.is_none());
        let numbers = self.minimum.is_none() && self.maximum.is_none() && self.multiple_of.is_none();
        let rest = self.pattern.is_none() && !self.unique && self.not.is_none() && self.validations.is_none();
        lists && bounds && numbers && rest
    }
}
