//! `mcplane get`.

use clap::{Args, ValueEnum};
use futures::{AsyncBufReadExt, TryStreamExt};
use http::Request;
use serde_json::{Value, json};

use super::connection::{Connection, ConnectionArgs, query, request};
use super::failure::Failure;
use super::output::{complain, print};
use super::resources::{Resource, Resources};
use super::table::{Columns, Layout, Table};

const AS_TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
/// Objects asked for at a time.
const PAGE: &str = "500";

const EXAMPLES: &str = "\
Examples:
  mcplane get configmaps                        those of the current namespace
  mcplane get configmap settings -o yaml        one of them, whole
  mcplane get vs,dr -n development              several kinds
  mcplane get secrets -A -l team=vision         all namespaces, by label
  mcplane get leases -w                         and every change from now on
";

/// Show objects
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Kind of object, such as configmaps; several with commas, one object as KIND/NAME
    #[arg(value_name = "KIND")]
    kinds: String,
    /// Names of objects; all of the kind without any
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Namespace; without it the login's, or `default`
    #[arg(short, long)]
    namespace: Option<String>,
    /// All namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Only objects with these labels, such as team=vision,tier!=test
    #[arg(short = 'l', long, value_name = "LABELS", conflicts_with = "names")]
    selector: Option<String>,
    /// Only objects with these fields, such as metadata.name=a
    #[arg(long, value_name = "FIELDS", conflicts_with = "names")]
    field_selector: Option<String>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// Go on and show every change
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The columns that matter
    Table,
    /// All columns
    Wide,
    /// Whole objects
    Yaml,
    /// Whole objects
    Json,
    /// KIND/NAME, one a line
    Name,
}

impl Format {
    fn is_table(self) -> bool {
        matches!(self, Self::Table | Self::Wide | Self::Name)
    }
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let connection = arguments.connection.connect().await?;
    let resources = Resources::discover(&connection).await?;
    let wanted = arguments.wanted(&resources)?;
    if arguments.watch && wanted.len() > 1 {
        return Err(Failure::usage("only one kind can be watched at a time"));
    }
    let mut getter = Getter { arguments: &arguments, connection: &connection, objects: Vec::new(), sections: 0 };
    for (resource, names) in wanted {
        getter.get(resource, &names).await?;
    }
    getter.finish()
}

impl Arguments {
    /// Each kind with the names of it that are wanted.
    fn wanted<'a>(&self, resources: &'a Resources) -> Result<Vec<(&'a Resource, Vec<String>)>, Failure> {
        if let Some((kind, name)) = self.kinds.split_once('/') {
            let mut wanted = vec![(resources.find(kind)?, vec![name.to_owned()])];
            for more in &self.names {
                let (kind, name) = more
                    .split_once('/')
                    .ok_or_else(|| Failure::usage(format!("{more:?}: write KIND/NAME here too")))?;
                wanted.push((resources.find(kind)?, vec![name.to_owned()]));
            }
            return Ok(wanted);
        }
        self.kinds.split(',').map(|kind| Ok((resources.find(kind)?, self.names.clone()))).collect()
    }

    fn layout(&self, resource: &Resource) -> Layout {
        Layout { wide: self.output == Format::Wide, namespaces: self.all_namespaces && resource.namespaced }
    }

    fn selectors(&self) -> [(&str, Option<&str>); 2] {
        [("labelSelector", self.selector.as_deref()), ("fieldSelector", self.field_selector.as_deref())]
    }
}

struct Getter<'a> {
    arguments: &'a Arguments,
    connection: &'a Connection,
    /// Objects for JSON and YAML, which are one document in the end.
    objects: Vec<Value>,
    sections: usize,
}

impl Getter<'_> {
    async fn get(&mut self, resource: &Resource, names: &[String]) -> Result<(), Failure> {
        let namespace = self.arguments.namespace.as_deref().unwrap_or(&self.connection.namespace);
        let namespace = Some(namespace).filter(|_| !self.arguments.all_namespaces);
        let paths: Vec<String> = if names.is_empty() {
            vec![resource.path(namespace, None)]
        } else {
            names.iter().map(|name| resource.path(namespace, Some(name))).collect()
        };
        let mut revision = String::new();
        let mut columns = Columns::default();
        let mut first: Option<Table> = None;
        for path in &paths {
            let mut next: Option<String> = None;
            loop {
                let answer = self.page(path, names.is_empty(), next.as_deref()).await?;
                next = continuation(&answer);
                revision = text(&answer["metadata"]["resourceVersion"]);
                self.show(resource, answer, &mut columns, &mut first)?;
                if next.is_none() {
                    break;
                }
            }
        }
        if first.as_ref().is_some_and(Table::is_empty) && !self.arguments.watch && self.arguments.output.is_table() {
            let place = match namespace.filter(|_| resource.namespaced) {
                Some(namespace) => format!(" in namespace {namespace}"),
                None => String::new(),
            };
            complain(&format!("no {} found{place}", resource.plural));
        }
        if self.arguments.watch {
            let name = names.first().map(|name| format!("metadata.name={name}"));
            self.watch(resource, &resource.path(namespace, None), name, revision, columns, first).await?;
        }
        Ok(())
    }

    async fn page(&self, path: &str, is_list: bool, next: Option<&str>) -> Result<Value, Failure> {
        let mut pairs = self.arguments.selectors().to_vec();
        pairs.extend([("limit", is_list.then_some(PAGE)), ("continue", next)]);
        self.connection.json(self.request(&format!("{path}{}", query(&pairs)))?).await
    }

    fn request(&self, path: &str) -> Result<Request<Vec<u8>>, Failure> {
        let mut request = request("GET", path, None)?;
        if self.arguments.output.is_table() {
            request.headers_mut().insert("accept", http::HeaderValue::from_static(AS_TABLE));
        }
        Ok(request)
    }

    /// Shows an answer, or keeps it for the end.
    fn show(
        &mut self,
        resource: &Resource,
        answer: Value,
        columns: &mut Columns,
        first: &mut Option<Table>,
    ) -> Result<(), Failure> {
        match self.arguments.output {
            Format::Json | Format::Yaml if self.arguments.watch => {
                items(answer).iter().try_for_each(|object| self.whole(object))
            }
            Format::Json | Format::Yaml => {
                self.objects.extend(items(answer));
                Ok(())
            }
            Format::Name | Format::Table | Format::Wide => {
                let table = Table::read(&answer).ok_or_else(|| Failure::failed("the server sent no table"))?;
                let starts = first.is_none();
                let table = match first {
                    Some(first) => table.with_columns_of(first),
                    None => first.insert(table).clone(),
                };
                if self.arguments.output == Format::Name {
                    let names = table.objects().map(|object| text(&object["metadata"]["name"]));
                    return print(&names.map(|name| resource.display(&name) + "\n").collect::<String>());
                }
                let layout = self.arguments.layout(resource);
                let mut rows = table.cells(layout);
                if starts && (!table.is_empty() || self.arguments.watch && table.has_columns()) {
                    rows.insert(0, table.header(layout));
                    if self.sections > 0 {
                        print("\n")?;
                    }
                    self.sections += 1;
                }
                print(&columns.align(&rows))
            }
        }
    }

    /// Shows changes until the user has seen enough.
    async fn watch(
        &mut self,
        resource: &Resource,
        path: &str,
        name: Option<String>,
        mut revision: String,
        mut columns: Columns,
        mut first: Option<Table>,
    ) -> Result<(), Failure> {
        loop {
            let mut pairs = self.arguments.selectors().to_vec();
            if name.is_some() {
                pairs.push(("fieldSelector", name.as_deref()));
            }
            pairs.extend([("watch", Some("true")), ("allowWatchBookmarks", Some("true"))]);
            pairs.push(("resourceVersion", Some(revision.as_str())));
            let request = self.request(&format!("{path}{}", query(&pairs)))?;
            let events = self.connection.client.request_stream(request).await;
            let mut lines = events.map_err(|error| self.connection.failure(&error))?.lines();
            while let Some(line) = lines.try_next().await? {
                let mut event: Value = serde_json::from_str(&line)
                    .map_err(|error| Failure::from_error("the server sent no watch event", &error))?;
                let (kind, object) = (text(&event["type"]), event["object"].take());
                if kind == "ERROR" {
                    return Err(Failure::failed(text(&object["message"])).hint("start the watch again"));
                }
                let seen = text(&object["metadata"]["resourceVersion"]);
                let seen = if seen.is_empty() {
                    text(&object["rows"][0]["object"]["metadata"]["resourceVersion"])
                } else {
                    seen
                };
                if !seen.is_empty() {
                    revision = seen;
                }
                if kind != "BOOKMARK" {
                    self.show(resource, object, &mut columns, &mut first)?;
                }
            }
        }
    }

    fn whole(&self, object: &Value) -> Result<(), Failure> {
        match self.arguments.output {
            Format::Yaml => print(&format!("---\n{}", yaml(object)?)),
            _ => print(&pretty(object)),
        }
    }

    /// One object is shown as itself, several as a list.
    fn finish(mut self) -> Result<(), Failure> {
        if self.arguments.output.is_table() || self.arguments.watch {
            return Ok(());
        }
        let single = self.arguments.kinds.contains('/') || !self.arguments.names.is_empty();
        let whole = match self.objects.pop() {
            Some(one) if single && self.objects.is_empty() => one,
            last => {
                self.objects.extend(last);
                json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": self.objects})
            }
        };
        print(&if self.arguments.output == Format::Yaml { yaml(&whole)? } else { pretty(&whole) })
    }
}

/// The objects of an answer. Items of a list do not say what they are; the list does.
fn items(mut answer: Value) -> Vec<Value> {
    let Some(kind) = answer["kind"].as_str().and_then(|kind| kind.strip_suffix("List")).map(ToOwned::to_owned) else {
        return vec![without_managed_fields(answer)];
    };
    let api_version = answer["apiVersion"].take();
    let Value::Array(items) = answer["items"].take() else { return Vec::new() };
    let complete = |mut item: Value| {
        if let Value::Object(fields) = &mut item {
            fields.entry("apiVersion").or_insert_with(|| api_version.clone());
            fields.entry("kind").or_insert_with(|| Value::from(kind.as_str()));
        }
        without_managed_fields(item)
    };
    items.into_iter().map(complete).collect()
}

fn without_managed_fields(mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    object
}

fn continuation(answer: &Value) -> Option<String> {
    Some(text(&answer["metadata"]["continue"])).filter(|next| !next.is_empty())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn yaml(value: &Value) -> Result<String, Failure> {
    serde_norway::to_string(value).map_err(|error| Failure::from_error("can't write YAML", &error))
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::super::resources::tests::some;
    use super::*;

    fn arguments(words: &[&str]) -> Arguments {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            arguments: Arguments,
        }
        <Line as clap::Parser>::parse_from([&["get"], words].concat()).arguments
    }

    #[test]
    fn what_is_wanted_is_written_in_three_ways() {
        let resources = some();
        let wanted = |words: &[&str]| -> Vec<(String, Vec<String>)> {
            let wanted = arguments(words).wanted(&resources).unwrap();
            wanted.into_iter().map(|(resource, names)| (resource.plural.clone(), names)).collect()
        };
        assert_eq!(wanted(&["cm,ns"]), [("configmaps".into(), vec![]), ("namespaces".into(), vec![])]);
        assert_eq!(wanted(&["cm", "a", "b"]), [("configmaps".into(), vec!["a".into(), "b".into()])]);
        assert_eq!(
            wanted(&["cm/a", "ns/b"]),
            [("configmaps".into(), vec!["a".to_owned()]), ("namespaces".into(), vec!["b".to_owned()])]
        );
        assert!(arguments(&["cm/a", "b"]).wanted(&resources).is_err());
    }

    #[test]
    fn items_of_a_list_are_whole_objects() {
        let list = json!({"apiVersion": "v1", "kind": "ConfigMapList", "items": [
            {"metadata": {"name": "a", "managedFields": []}},
        ]});
        assert_eq!(items(list), [json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})]);
        let one = json!({"kind": "ConfigMap", "metadata": {"name": "a"}});
        assert_eq!(items(one.clone()), [one]);
    }
}
