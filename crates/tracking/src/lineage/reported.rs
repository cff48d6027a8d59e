//! The tables `lineage_events`, `lineage_nodes` and `lineage_edges`: what other systems report.

use std::collections::{HashMap, HashSet};

use mcplane_core::{Error, Result};
use mcplane_db::{Arg, Row, Snapshot, Tx};
use serde_json::{Map, Value};

use super::graph::{Edge, EdgeKind};
use super::walk::{MOST_EDGES, Way};
use super::{Node, openlineage::Report};

/// Bytes of facets that a node keeps.
const MOST_FACETS: usize = 32 << 10;
/// The facet that names those which had no room.
const OMITTED: &str = "omitted";

/// A node that others reported.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Reported {
    /// For people.
    pub(super) name: String,
    /// How far a run is, in the words of OpenLineage; may be empty.
    pub(super) state: String,
    /// Milliseconds since the epoch.
    pub(super) event_at: i64,
    /// By name.
    pub(super) facets: Map<String, Value>,
}

impl Reported {
    /// Adds what another event says. Of two events the later one counts, in whatever order they come.
    fn merge(&mut self, new: Self) {
        let later = new.event_at >= self.event_at;
        for (name, facet) in new.facets {
            if later || !self.facets.contains_key(&name) {
                self.facets.insert(name, facet);
            }
        }
        self.facets.retain(|_, facet| facet.get("_deleted") != Some(&Value::Bool(true)));
        if later || self.state.is_empty() {
            self.state = if new.state.is_empty() { std::mem::take(&mut self.state) } else { new.state };
        }
        if later {
            self.name = new.name;
            self.event_at = new.event_at;
        }
        self.bound();
    }

    /// Leaves out the facets that have no room, and says so.
    fn bound(&mut self) {
        let mut omitted: Vec<Value> = match self.facets.remove(OMITTED) {
            Some(Value::Array(names)) => names,
            _ => vec![],
        };
        let mut size = 0;
        self.facets.retain(|name, facet| {
            let weight = name.len() + facet.to_string().len();
            let fits = size + weight <= MOST_FACETS;
            if fits {
                size += weight;
            } else if !omitted.iter().any(|known| known == name) && omitted.len() < 100 {
                omitted.push(name.chars().take(100).collect::<String>().into());
            }
            fits
        });
        omitted.retain(|name| name.as_str().is_some_and(|name| !self.facets.contains_key(name)));
        if !omitted.is_empty() {
            self.facets.insert(OMITTED.to_owned(), omitted.into());
        }
    }
}

/// Takes note of an event; tells whether it is new.
pub(super) async fn insert_event(tx: &mut Tx, namespace: &str, digest: &str, by: &str) -> Result<bool> {
    let sql = "INSERT INTO lineage_events (namespace, digest, received_at, received_by) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (namespace, digest) DO NOTHING";
    let now = tx.now();
    Ok(tx.execute(sql, vec![namespace.into(), digest.into(), now.into(), by.into()]).await? > 0)
}

/// Adds what an event says to what is known.
pub(super) async fn record(tx: &mut Tx, namespace: &str, report: Report) -> Result<()> {
    let ids: Vec<String> = report.nodes.keys().map(Node::to_string).collect();
    let sql = format!(
        "SELECT id, name, state, event_at, facets FROM lineage_nodes WHERE namespace = $1 AND id IN {}",
        tx.dialect().texts(2)
    );
    let mut known: HashMap<String, Reported> = HashMap::new();
    for row in tx.fetch(sql, vec![namespace.into(), Arg::list(&ids)]).await? {
        known.insert(row.text(0)?.to_owned(), read(&row)?);
    }
    let mut args = Vec::with_capacity(ids.len() * 6);
    for (node, new) in report.nodes {
        let id = node.to_string();
        let mut merged = known.remove(&id).unwrap_or_else(|| Reported { event_at: i64::MIN, ..Reported::default() });
        merged.merge(new);
        let facets = Value::Object(merged.facets).to_string();
        args.extend([namespace.into(), id.into(), merged.name.into(), merged.state.into(), merged.event_at.into()]);
        args.push(facets.into());
    }
    let replace = "ON CONFLICT (namespace, id) DO UPDATE SET name = excluded.name, state = excluded.state, \
                   event_at = excluded.event_at, facets = excluded.facets";
    let insert = "INSERT INTO lineage_nodes (namespace, id, name, state, event_at, facets)";
    tx.execute_rows(insert, 6, args, replace).await?;
    insert_edges(tx, namespace, &ids, &report.edges).await
}

async fn insert_edges(tx: &mut Tx, namespace: &str, ids: &[String], edges: &[Edge]) -> Result<()> {
    let sql = format!("SELECT id, no FROM lineage_nodes WHERE namespace = $1 AND id IN {}", tx.dialect().texts(2));
    let rows = tx.fetch(sql, vec![namespace.into(), Arg::list(ids)]).await?;
    let numbers: HashMap<&str, i64> = rows.iter().map(|row| Ok((row.text(0)?, row.int(1)?))).collect::<Result<_>>()?;
    let mut args = Vec::with_capacity(edges.len() * 3);
    for edge in edges {
        for end in [&edge.from, &edge.to] {
            let no = numbers.get(end.to_string().as_str()).copied();
            args.push(no.ok_or_else(|| Error::internal("an edge without its node"))?.into());
        }
        args.push((edge.kind as i64).into());
    }
    tx.execute_rows("INSERT INTO lineage_edges (source, target, kind)", 3, args, "ON CONFLICT DO NOTHING").await
}

/// The edges at the nodes of a level, on their way.
pub(super) async fn edges(
    view: &mut Snapshot,
    namespace: &str,
    level: &[Node],
    way: Way,
    truncated: &mut bool,
) -> Result<Vec<Edge>> {
    let by = if way == Way::Up { "t" } else { "s" };
    let sql = format!(
        "SELECT s.id, t.id, x.kind FROM lineage_nodes {by} JOIN lineage_edges x ON x.{} = {by}.no \
         JOIN lineage_nodes {other} ON {other}.no = x.{} WHERE {by}.namespace = $1 AND {by}.id IN {} \
         ORDER BY s.no, t.no, x.kind LIMIT {MOST_EDGES}",
        if way == Way::Up { "target" } else { "source" },
        if way == Way::Up { "source" } else { "target" },
        view.dialect().texts(2),
        other = if way == Way::Up { "s" } else { "t" },
    );
    let rows = view.fetch(sql, vec![namespace.into(), Arg::list(level)]).await?;
    *truncated |= rows.len() == MOST_EDGES;
    let edge =
        |row: &Row| Ok(Edge::new(row.text(0)?.parse()?, row.text(1)?.parse()?, EdgeKind::from_number(row.int(2)?)?));
    let mut edges: Vec<Edge> = rows.iter().map(edge).collect::<Result<_>>()?;
    if way == Way::Up {
        // Whoever made just this version is known: others who wrote to its place have nothing to do with it.
        let made: HashSet<Node> =
            edges.iter().filter(|edge| edge.kind == EdgeKind::Output).map(|edge| edge.to.clone()).collect();
        edges.retain(|edge| edge.kind != EdgeKind::Content || !made.contains(&edge.to));
    }
    Ok(edges)
}

/// Those of the nodes that others reported.
pub(super) async fn known<'n>(
    view: &mut Snapshot,
    namespace: &str,
    nodes: impl Iterator<Item = &'n Node>,
) -> Result<HashSet<Node>> {
    let ids: Vec<String> = nodes.map(Node::to_string).collect();
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let sql = format!("SELECT id FROM lineage_nodes WHERE namespace = $1 AND id IN {}", view.dialect().texts(2));
    let rows = view.fetch(sql, vec![namespace.into(), Arg::list(&ids)]).await?;
    rows.iter().map(|row| row.text(0)?.parse()).collect()
}

/// What others reported of the nodes.
pub(super) async fn describe(view: &mut Snapshot, namespace: &str, nodes: &[Node]) -> Result<HashMap<Node, Reported>> {
    let sql = format!(
        "SELECT id, name, state, event_at, facets FROM lineage_nodes WHERE namespace = $1 AND id IN {}",
        view.dialect().texts(2)
    );
    let rows = view.fetch(sql, vec![namespace.into(), Arg::list(nodes)]).await?;
    rows.iter().map(|row| Ok((row.text(0)?.parse()?, read(row)?))).collect()
}

/// Reads id, name, state, time and facets.
fn read(row: &Row) -> Result<Reported> {
    let facets = serde_json::from_str(row.text(4)?).map_err(Error::internal)?;
    let [name, state] = [row.text(1)?, row.text(2)?].map(str::to_owned);
    Ok(Reported { name, state, event_at: row.int(3)?, facets })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reported(at: i64, state: &str, facets: Value) -> Reported {
        let Value::Object(facets) = facets else { panic!("no object") };
        Reported { name: format!("at {at}"), state: state.to_owned(), event_at: at, facets }
    }

    #[test]
    fn the_later_event_counts_in_any_order() {
        let first = || reported(1, "START", json!({"a": {"v": 1}, "b": {"v": 1}}));
        let second = || reported(2, "COMPLETE", json!({"a": {"v": 2}, "c": {"v": 2}}));
        let (mut forward, mut backward) = (first(), second());
        forward.merge(second());
        backward.merge(first());
        assert_eq!(forward, backward);
        let facets = json!({"a": {"v": 2}, "b": {"v": 1}, "c": {"v": 2}});
        assert_eq!((Value::Object(forward.facets.clone()), forward.state.as_str()), (facets, "COMPLETE"));
        forward.merge(reported(3, "", json!({"a": {"_deleted": true}})));
        assert_eq!((forward.facets.contains_key("a"), forward.state.as_str()), (false, "COMPLETE"));
    }

    #[test]
    fn what_has_no_room_is_named() {
        let mut node = reported(1, "", json!({"a": {"v": "x".repeat(20_000)}, "b": {"v": "x".repeat(20_000)}}));
        node.bound();
        assert_eq!((node.facets.contains_key("a"), &node.facets[OMITTED]), (true, &json!(["b"])));
        node.merge(reported(2, "", json!({"a": {}, "b": {"v": 1}})));
        assert_eq!(Value::Object(node.facets), json!({"a": {}, "b": {"v": 1}}));
    }
}
