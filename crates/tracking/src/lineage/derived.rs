//! Edges that the tables of runs, datasets and models imply.

use std::collections::{HashMap, HashSet};

use mcplane_core::Result;
use mcplane_db::{Arg, Row, Snapshot};

use super::graph::{Edge, EdgeKind};
use super::walk::{MOST_EDGES, Way};
use super::{Node, place, reported};

/// The tag of an input that says what for.
const CONTEXT: &str = "mlflow.data.context";

/// A level of a walk, by what queries ask for.
#[derive(Debug, Default)]
struct Level<'a> {
    runs: Vec<&'a str>,
    models: Vec<&'a str>,
    versions: HashSet<(&'a str, i64)>,
    datasets: HashSet<(&'a str, &'a str)>,
    places: Vec<&'a str>,
}

impl<'a> Level<'a> {
    fn of(nodes: &'a [Node]) -> Self {
        let mut level = Self::default();
        for node in nodes {
            match node {
                Node::Run(id) => level.runs.push(id),
                Node::Model(id) => level.models.push(id),
                Node::ModelVersion { model, version } => drop(level.versions.insert((model, *version))),
                Node::Dataset { name, digest } => {
                    level.datasets.insert((name, digest));
                    if digest.is_empty() {
                        level.places.push(name);
                    }
                }
                Node::Job(_) => {}
            }
        }
        level
    }

    fn digests(&self) -> Vec<&str> {
        self.datasets.iter().map(|(_, digest)| *digest).collect()
    }
}

/// Runs queries in a namespace, bound to the number of rows that an answer takes.
struct Query<'a> {
    view: &'a mut Snapshot,
    namespace: &'a str,
    truncated: &'a mut bool,
}

impl Query<'_> {
    /// `sql` holds `$1`, the namespace, and for each of the lists a `{}`.
    async fn rows(&mut self, sql: &str, lists: &[Arg], numbers: bool) -> Result<Vec<Row>> {
        let dialect = self.view.dialect();
        let mut text = sql.to_owned();
        for n in 0..lists.len() {
            // The second list of a query is one of numbers.
            let list = if numbers && n == 1 { dialect.numbers(n + 2) } else { dialect.texts(n + 2) };
            text = text.replacen("{}", &list, 1);
        }
        let text = format!("{text} LIMIT {MOST_EDGES}");
        let args = std::iter::once(self.namespace.into()).chain(lists.iter().cloned()).collect();
        let rows = self.view.fetch(text, args).await?;
        *self.truncated |= rows.len() == MOST_EDGES;
        Ok(rows)
    }
}

/// The edges at the nodes of a level, on their way.
pub(super) async fn edges(
    view: &mut Snapshot,
    namespace: &str,
    nodes: &[Node],
    way: Way,
    truncated: &mut bool,
) -> Result<Vec<Edge>> {
    let level = Level::of(nodes);
    let mut query = Query { view, namespace, truncated };
    let mut edges = Vec::new();
    inputs(&mut query, &level, way, &mut edges).await?;
    models(&mut query, &level, way, &mut edges).await?;
    versions(&mut query, &level, way, &mut edges).await?;
    contents(&mut query, &level, way, &mut edges).await?;
    Ok(edges)
}

/// Datasets that runs read.
async fn inputs(query: &mut Query<'_>, level: &Level<'_>, way: Way, edges: &mut Vec<Edge>) -> Result<()> {
    let columns = format!(
        "SELECT r.id, d.name, d.digest, coalesce(t.value, '') FROM dataset_inputs i JOIN runs r ON r.no = i.run \
         JOIN datasets d ON d.no = i.dataset LEFT JOIN dataset_input_tags t ON t.input = i.no AND t.key = '{CONTEXT}' \
         WHERE r.namespace = $1"
    );
    let rows = match way {
        Way::Up if !level.runs.is_empty() => {
            let sql = format!("{columns} AND r.id IN {{}} ORDER BY i.no");
            query.rows(&sql, &[Arg::list(&level.runs)], false).await?
        }
        Way::Down if !level.datasets.is_empty() => {
            let sql = format!("{columns} AND d.digest IN {{}} ORDER BY i.no");
            query.rows(&sql, &[Arg::list(&level.digests())], false).await?
        }
        _ => return Ok(()),
    };
    for row in rows {
        let (name, digest) = (row.text(1)?, row.text(2)?);
        if way == Way::Up || level.datasets.contains(&(name, digest)) {
            let mut edge = Edge::new(Node::dataset(name, digest), Node::Run(row.text(0)?.to_owned()), EdgeKind::Input);
            row.text(3)?.clone_into(&mut edge.context);
            edges.push(edge);
        }
    }
    Ok(())
}

/// Models that runs read and made. A model tells its run, and a run its models; old clients do only one of them.
async fn models(query: &mut Query<'_>, level: &Level<'_>, way: Way, edges: &mut Vec<Edge>) -> Result<()> {
    let mut logged = Vec::new();
    for (by, list) in [("r.id", &level.runs), ("m.model", &level.models)] {
        // Up from a run is what it read, up from a model is what made it.
        let output = i64::from((way == Way::Up) != (by == "r.id"));
        if !list.is_empty() {
            let sql = format!(
                "SELECT r.id, m.model, m.output FROM run_models m JOIN runs r ON r.no = m.run \
                 WHERE r.namespace = $1 AND m.output = {output} AND {by} IN {{}} ORDER BY r.no, m.model"
            );
            logged.extend(query.rows(&sql, &[Arg::list(list)], false).await?);
        }
    }
    let (by, list) = if way == Way::Up { ("id", &level.models) } else { ("source_run", &level.runs) };
    if !list.is_empty() {
        let sql = format!(
            "SELECT source_run, id, CAST(1 AS BIGINT) FROM logged_models \
             WHERE namespace = $1 AND source_run <> '' AND {by} IN {{}} ORDER BY no"
        );
        logged.extend(query.rows(&sql, &[Arg::list(list)], false).await?);
    }
    for row in logged {
        let (run, model) = (Node::Run(row.text(0)?.to_owned()), Node::Model(row.text(1)?.to_owned()));
        edges.push(match row.int(2)? {
            0 => Edge::new(model, run, EdgeKind::Input),
            _ => Edge::new(run, model, EdgeKind::Output),
        });
    }
    Ok(())
}

const VERSIONS: &str = "SELECT m.name, v.version, v.run_id, v.model_id, v.source, \
    CASE WHEN l.source_run <> '' THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END \
    FROM model_versions v JOIN registered_models m ON m.no = v.model \
    LEFT JOIN logged_models l ON l.id = v.model_id AND l.namespace = v.namespace WHERE m.namespace = $1";

/// What versions were registered from: a logged model, a run, or another version.
async fn versions(query: &mut Query<'_>, level: &Level<'_>, way: Way, edges: &mut Vec<Edge>) -> Result<()> {
    let mut rows = Vec::new();
    if way == Way::Up {
        if level.versions.is_empty() {
            return Ok(());
        }
        let (names, numbers): (Vec<&str>, Vec<i64>) = level.versions.iter().copied().unzip();
        let sql = format!("{VERSIONS} AND m.name IN {{}} AND v.version IN {{}} ORDER BY v.model, v.version");
        rows = query.rows(&sql, &[Arg::list(&names), Arg::list(&numbers)], true).await?;
    } else {
        let source = |(model, version): &(&str, i64)| {
            format!("models:/{model}/{version}").chars().take(place::INDEXED).collect::<String>()
        };
        let sources: Vec<String> = level.versions.iter().map(source).collect();
        let by_source = format!("substr(v.source, 1, {})", place::INDEXED);
        let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
        for (by, list) in [("v.run_id", &level.runs), ("v.model_id", &level.models), (by_source.as_str(), &sources)] {
            if !list.is_empty() {
                let sql = format!("{VERSIONS} AND {by} IN {{}} ORDER BY v.model, v.version");
                rows.extend(query.rows(&sql, &[Arg::list(list)], false).await?);
            }
        }
    }
    for row in rows {
        let (name, version) = (row.text(0)?, row.int(1)?);
        if way == Way::Up && !level.versions.contains(&(name, version)) {
            continue;
        }
        let origin = origin(row.text(2)?, row.text(3)?, row.text(4)?, row.int(5)? == 1);
        // Of a model's version the run is found through the model, so the shorter way is left out.
        let asked = |node: &Node| match node {
            Node::Run(id) => level.runs.contains(&id.as_str()),
            Node::Model(id) => level.models.contains(&id.as_str()),
            Node::ModelVersion { model, version } => level.versions.contains(&(model, *version)),
            _ => false,
        };
        let node = Node::ModelVersion { model: name.to_owned(), version };
        let found = origin.into_iter().filter(|(from, _)| way == Way::Up || asked(from));
        edges.extend(found.map(|(from, kind)| Edge::new(from, node.clone(), kind)));
    }
    Ok(())
}

/// What a version comes from at first hand. The model that it names may be one of another server.
fn origin(run: &str, model: &str, source: &str, model_has_run: bool) -> Vec<(Node, EdgeKind)> {
    let copied = source.strip_prefix("models:/").and_then(|rest| format!("modelversion:{rest}").parse().ok());
    if let Some(version) = copied {
        return vec![(version, EdgeKind::Copy)];
    }
    let mut origin = Vec::new();
    if !model.is_empty() {
        origin.push((Node::Model(model.to_owned()), EdgeKind::Registration));
    }
    if !run.is_empty() && !model_has_run {
        origin.push((Node::Run(run.to_owned()), EdgeKind::Registration));
    }
    origin
}

/// Places that others write to, and the datasets that runs read there.
async fn contents(query: &mut Query<'_>, level: &Level<'_>, way: Way, edges: &mut Vec<Edge>) -> Result<()> {
    const COLUMNS: &str = "SELECT DISTINCT d.name, d.digest, d.source_type, d.source FROM datasets d \
                           JOIN experiments e ON e.no = d.experiment WHERE e.namespace = $1";
    let (sql, list) = match way {
        Way::Up if !level.datasets.is_empty() => {
            (format!("{COLUMNS} AND d.digest IN {{}}"), Arg::list(&level.digests()))
        }
        Way::Down if !level.places.is_empty() => {
            let sources: Vec<String> = level.places.iter().flat_map(|name| place::sources(name)).collect();
            (format!("{COLUMNS} AND substr(d.source, 1, {}) IN {{}}", place::INDEXED), Arg::list(&sources))
        }
        _ => return Ok(()),
    };
    let places: HashSet<&str> = level.places.iter().copied().collect();
    let mut found: HashMap<Node, Vec<Node>> = HashMap::new();
    for row in query.rows(&sql, &[list], false).await? {
        let (name, digest) = (row.text(0)?, row.text(1)?);
        let Some(at) = place::of_source(row.text(2)?, row.text(3)?) else { continue };
        let asked = match way {
            Way::Up => level.datasets.contains(&(name, digest)),
            Way::Down => places.contains(at.as_str()),
        };
        let (from, to) = (Node::dataset(at, ""), Node::dataset(name, digest));
        if asked && from != to {
            found.entry(from).or_default().push(to);
        }
    }
    // A place that nobody else speaks of says no more than the dataset does.
    let known = reported::known(query.view, query.namespace, found.keys()).await?;
    let edge = |from: &Node, to: Node| Edge::new(from.clone(), to, EdgeKind::Content);
    let mut at_places: Vec<_> = found.into_iter().filter(|(place, _)| known.contains(place)).collect();
    at_places.sort();
    edges.extend(at_places.into_iter().flat_map(|(from, to)| to.into_iter().map(move |to| edge(&from, to))));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_has_one_origin_at_first_hand() {
        let written = |origin: Vec<(Node, EdgeKind)>| {
            origin.iter().map(|(node, kind)| format!("{kind:?} {node}")).collect::<Vec<_>>().join(", ")
        };
        let run = "67b3da4b42184903b5f8dfd7e2cb75cb";
        assert_eq!(written(origin(run, "m-1", "models:/m-1", true)), "Registration model:m-1");
        assert_eq!(
            written(origin(run, "m-1", "s3://b/x", false)),
            format!("Registration model:m-1, Registration run:{run}")
        );
        assert_eq!(written(origin(run, "", "runs:/x/model", false)), format!("Registration run:{run}"));
        assert_eq!(written(origin(run, "", "models:/fraud/2", false)), "Copy modelversion:fraud/2");
        assert_eq!(written(origin("", "", "s3://b/x", false)), "");
    }
}
