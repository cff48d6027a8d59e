//! A query: its text, its fragments, its variables, and whether it is small enough and asks for what there is.

use std::collections::{BTreeMap, BTreeSet};

use graphql_parser::query::{
    Definition, Directive, Document, Field, FragmentDefinition, OperationDefinition, Selection, SelectionSet,
    VariableDefinition, parse_query,
};
use serde_json::{Map, Value};

use super::schema::{Type, root};

pub(super) type Text = String;
pub(super) type Set<'q> = SelectionSet<'q, Text>;
type Ast<'q> = graphql_parser::query::Value<'q, Text>;

/// Longest text, in bytes.
const LONGEST: usize = 64 * 1024;
const DEEPEST: usize = 10;
const MOST_SELECTIONS: usize = 1000;
const MOST_ROOT_FIELDS: usize = 10;
const MOST_ALIASES: usize = 10;

/// Why a query is not run: messages for the client.
pub(super) type Refused = Vec<String>;

/// A parsed text.
pub(super) fn parse(text: &str) -> Result<Document<'_, Text>, Refused> {
    if text.len() > LONGEST {
        return Err(vec![format!("Query exceeds maximum length of {LONGEST} bytes")]);
    }
    parse_query(text).map_err(|error| vec![format!("Syntax Error: {error}")])
}

/// The operation to run, with what it refers to.
#[derive(Debug)]
pub(super) struct Query<'d, 'q> {
    pub(super) mutation: bool,
    pub(super) set: &'d Set<'q>,
    fragments: BTreeMap<&'d str, &'d FragmentDefinition<'q, Text>>,
    variables: Map<String, Value>,
}

/// A field with the name that it has in the answer, and all that is selected of it.
pub(super) struct Wanted<'d, 'q> {
    pub(super) key: &'d str,
    pub(super) field: &'d Field<'q, Text>,
    pub(super) sets: Vec<&'d Set<'q>>,
}

impl<'d, 'q> Query<'d, 'q> {
    /// Finds the operation; the only one if it is not named.
    pub(super) fn of(
        document: &'d Document<'q, Text>,
        name: &str,
        variables: Map<String, Value>,
    ) -> Result<Self, Refused> {
        let mut fragments = BTreeMap::new();
        let mut operations = Vec::new();
        for definition in &document.definitions {
            match definition {
                Definition::Fragment(fragment) => drop(fragments.insert(fragment.name.as_str(), fragment)),
                Definition::Operation(operation) => operations.push(Operation::of(operation)),
            }
        }
        let all: Vec<&Set<'_>> = operations.iter().map(|operation| operation.set).collect();
        let mut found = operations.into_iter().filter(|operation| name.is_empty() || operation.name == Some(name));
        let refused = |text: String| Err(vec![text]);
        let Some(operation) = found.next() else {
            return refused(if name.is_empty() {
                "Must provide an operation.".into()
            } else {
                format!("Unknown operation named '{name}'.")
            });
        };
        if found.next().is_some() {
            return refused("Must provide operation name if query contains multiple operations.".into());
        }
        if operation.subscription {
            return refused("Schema is not configured to execute subscription operation.".into());
        }
        let mut query = Self { mutation: operation.mutation, set: operation.set, fragments, variables };
        for variable in operation.variables {
            if let (Some(value), false) = (&variable.default_value, query.variables.contains_key(&variable.name)) {
                let value = query.value(value);
                query.variables.insert(variable.name.clone(), value);
            }
        }
        query.check_size(&all)?;
        query.check_fields()?;
        Ok(query)
    }

    /// The fields of selections, those of fragments among them; what is selected twice is one.
    pub(super) fn collect(&self, sets: &[&'d Set<'q>]) -> Vec<Wanted<'d, 'q>> {
        let mut wanted: Vec<Wanted<'d, 'q>> = Vec::new();
        self.visit(sets, |field| {
            let key = field.alias.as_deref().unwrap_or(&field.name);
            match wanted.iter_mut().find(|wanted| wanted.key == key) {
                Some(wanted) => wanted.sets.push(&field.selection_set),
                None => wanted.push(Wanted { key, field, sets: vec![&field.selection_set] }),
            }
        });
        wanted
    }

    fn visit(&self, sets: &[&'d Set<'q>], mut see: impl FnMut(&'d Field<'q, Text>)) {
        let mut seen = BTreeSet::new();
        let mut rest: Vec<&'d Selection<'q, Text>> = sets.iter().rev().flat_map(|set| set.items.iter().rev()).collect();
        while let Some(selection) = rest.pop() {
            match selection {
                Selection::Field(field) if self.includes(&field.directives) => see(field),
                Selection::InlineFragment(part) if self.includes(&part.directives) => {
                    rest.extend(part.selection_set.items.iter().rev());
                }
                Selection::FragmentSpread(spread) if self.includes(&spread.directives) => {
                    let fragment = self.fragments.get(spread.fragment_name.as_str());
                    if let Some(fragment) = fragment.filter(|_| seen.insert(&spread.fragment_name)) {
                        rest.extend(fragment.selection_set.items.iter().rev());
                    }
                }
                _ => {}
            }
        }
    }

    fn includes(&self, directives: &[Directive<'q, Text>]) -> bool {
        directives.iter().all(|directive| {
            let condition = directive.arguments.iter().find(|(name, _)| name == "if");
            let holds = condition.is_some_and(|(_, value)| self.value(value) == Value::Bool(true));
            match directive.name.as_str() {
                "skip" => !holds,
                "include" => holds,
                _ => true,
            }
        })
    }

    /// A value with variables put in.
    pub(super) fn value(&self, value: &Ast<'q>) -> Value {
        match value {
            Ast::Variable(name) => self.variables.get(name).cloned().unwrap_or_default(),
            Ast::Int(number) => number.as_i64().map_or(Value::Null, Value::from),
            Ast::Float(number) => Value::from(*number),
            Ast::String(text) | Ast::Enum(text) => Value::from(text.as_str()),
            Ast::Boolean(flag) => Value::Bool(*flag),
            Ast::Null => Value::Null,
            Ast::List(items) => items.iter().map(|item| self.value(item)).collect(),
            Ast::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), self.value(value))).collect(),
        }
    }

    /// Small queries can ask for large answers; fragments and aliases multiply them.
    fn check_size(&self, all: &[&'d Set<'q>]) -> Result<(), Refused> {
        let (mut roots, mut most_aliases, mut selections) = (0, 0, 0);
        let mut rest: Vec<(&Set<'_>, usize)> = all.iter().map(|set| (*set, 1)).collect();
        while let Some((set, depth)) = rest.pop() {
            if depth > DEEPEST {
                return Err(vec![format!("Query exceeds maximum depth of {DEEPEST}")]);
            }
            let mut aliases = 0;
            self.visit(&[set], |field| {
                aliases += usize::from(field.alias.is_some());
                roots += usize::from(depth == 1);
                selections += 1;
                if selections <= MOST_SELECTIONS && !field.selection_set.items.is_empty() {
                    rest.push((&field.selection_set, depth + 1));
                }
            });
            if selections > MOST_SELECTIONS {
                return Err(vec![format!("Query exceeds maximum total selections of {MOST_SELECTIONS}")]);
            }
            most_aliases = most_aliases.max(aliases);
        }
        for (what, most, found) in [("root fields", MOST_ROOT_FIELDS, roots), ("aliases", MOST_ALIASES, most_aliases)] {
            if found > most {
                return Err(vec![format!("GraphQL queries should have at most {most} {what}, got {found} {what}.")]);
            }
        }
        Ok(())
    }

    fn check_fields(&self) -> Result<(), Refused> {
        let mut errors = Vec::new();
        let operation = if self.mutation { "Mutation" } else { "Query" };
        let mut rest: Vec<(&'static Type, Vec<&'d Set<'q>>)> = Vec::new();
        for Wanted { field, sets, .. } in self.collect(&[self.set]) {
            match root(&field.name, self.mutation) {
                Some(root) => select(&mut errors, &mut rest, field, root.kind, sets),
                None if ["__typename", "test", "testMutation"].contains(&field.name.as_str()) => {}
                None => errors.push(format!("Cannot query field '{}' on type '{operation}'.", field.name)),
            }
        }
        while let Some((kind, sets)) = rest.pop() {
            for Wanted { field, sets, .. } in self.collect(&sets) {
                match kind.fields.iter().find(|(name, _)| *name == field.name) {
                    Some((_, of)) => match of.object() {
                        Some(object) => select(&mut errors, &mut rest, field, object, sets),
                        // Errors of other servers have fields.
                        None if field.selection_set.items.is_empty() || field.name == "apiError" => {}
                        None => errors.push(format!("Field '{}' must not have a selection of subfields.", field.name)),
                    },
                    None if field.name == "__typename" => {}
                    None => errors.push(format!("Cannot query field '{}' on type '{}'.", field.name, kind.name)),
                }
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

fn select<'d, 'q>(
    errors: &mut Refused,
    rest: &mut Vec<(&'static Type, Vec<&'d Set<'q>>)>,
    field: &Field<'q, Text>,
    kind: &'static Type,
    sets: Vec<&'d Set<'q>>,
) {
    let name = &field.name;
    if field.selection_set.items.is_empty() {
        errors.push(format!(
            "Field '{name}' of type '{}' must have a selection of subfields. Did you mean '{name} {{ ... }}'?",
            kind.name
        ));
    } else {
        rest.push((kind, sets));
    }
}

/// An operation of a document, whatever its form.
struct Operation<'d, 'q> {
    name: Option<&'d str>,
    mutation: bool,
    subscription: bool,
    variables: &'d [VariableDefinition<'q, Text>],
    set: &'d Set<'q>,
}

impl<'d, 'q> Operation<'d, 'q> {
    fn of(definition: &'d OperationDefinition<'q, Text>) -> Self {
        let (mut mutation, mut subscription) = (false, false);
        let (name, variables, set): (_, &[_], _) = match definition {
            OperationDefinition::SelectionSet(set) => (None, &[], set),
            OperationDefinition::Query(query) => {
                (query.name.as_deref(), &query.variable_definitions, &query.selection_set)
            }
            OperationDefinition::Mutation(query) => {
                mutation = true;
                (query.name.as_deref(), &query.variable_definitions, &query.selection_set)
            }
            OperationDefinition::Subscription(query) => {
                subscription = true;
                (query.name.as_deref(), &query.variable_definitions, &query.selection_set)
            }
        };
        Self { name, mutation, subscription, variables, set }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        let document = match parse(text) {
            Ok(document) => document,
            Err(errors) => return errors.join(" "),
        };
        Query::of(&document, "", Map::new()).err().unwrap_or_default().join(" ")
    }

    #[test]
    fn queries_are_limited() {
        let test =
            |n: usize| (0..n).map(|i| format!("a{i}: test(inputString: \"x\") {{ output }} ")).collect::<String>();
        assert_eq!(refusal(&format!("{{ {} }}", test(10))), "");
        assert_eq!(
            refusal(&format!("{{ {} }}", test(11))),
            "GraphQL queries should have at most 10 root fields, got 11 root fields."
        );
        let names: String = (0..11).map(|i| format!("a{i}: runId ")).collect();
        let aliases = format!("{{ mlflowGetRun {{ run {{ info {{ {names} }} }} }} }}");
        assert_eq!(refusal(&aliases), "GraphQL queries should have at most 10 aliases, got 11 aliases.");
        let deep = format!("{{ {} a {} }}", "a { ".repeat(11), "} ".repeat(11));
        assert_eq!(refusal(&deep), "Query exceeds maximum depth of 10");
        let circle = "{ mlflowGetRun { ...R } } fragment R on MlflowGetRunResponse { run { ...R } }";
        assert_eq!(refusal(circle), "Query exceeds maximum depth of 10");
        let wide = format!("{{ mlflowGetRun {{ {} }} }}", "apiError ".repeat(1001));
        assert_eq!(refusal(&wide), "Query exceeds maximum total selections of 1000");
        assert!(refusal(&"{".repeat(100_000)).contains("maximum length"));
        assert!(refusal(&"{a".repeat(30_000)).starts_with("Syntax Error"));
        assert!(refusal("").contains("operation") || refusal("").starts_with("Syntax Error"));
    }

    #[test]
    fn fields_must_exist() {
        assert_eq!(refusal("{ nope }"), "Cannot query field 'nope' on type 'Query'.");
        assert_eq!(
            refusal("{ mlflowGetRun { run { info { x } } } }"),
            "Cannot query field 'x' on type 'MlflowRunInfo'."
        );
        assert!(refusal("{ mlflowGetRun }").contains("must have a selection of subfields"));
        assert!(refusal("{ mlflowGetRun { run { info { runId { x } } } } }").contains("must not have a selection"));
        assert_eq!(
            refusal("{ mlflowSearchDatasets { __typename } }"),
            "Cannot query field 'mlflowSearchDatasets' on type 'Query'."
        );
    }

    #[test]
    fn fragments_variables_and_conditions_are_put_in() {
        let text = "query Q($a: X = {runId: \"r\"}, $no: B) { ...F mlflowGetRun(input: $a) { run { data { __typename } } } } \
                    fragment F on Query { mlflowGetRun(input: $a) { run { info @skip(if: $no) { runId } } } }";
        let document = parse(text).unwrap();
        let variables: Map<String, Value> = [("no".to_owned(), Value::Bool(true))].into_iter().collect();
        let query = Query::of(&document, "Q", variables).unwrap();
        let roots = query.collect(&[query.set]);
        assert_eq!(roots.len(), 1);
        assert_eq!(query.value(&roots[0].field.arguments[0].1), serde_json::json!({"runId": "r"}));
        let run = query.collect(&roots[0].sets);
        let parts: Vec<&str> = query.collect(&run[0].sets).iter().map(|part| part.key).collect();
        assert_eq!(parts, ["data"]);
    }
}
