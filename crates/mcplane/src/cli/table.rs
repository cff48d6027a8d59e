//! Aligned columns, and the tables that the server computes (`meta.k8s.io/v1` `Table`).

use serde_json::Value;

const GAP: &str = "   ";
const NOTHING: &str = "<none>";

/// Aligns columns as they come; later rows keep the widths of the first ones as far as they can.
#[derive(Debug, Default)]
pub(super) struct Columns {
    widths: Vec<usize>,
}

impl Columns {
    /// Lines of aligned cells; the last column is not padded.
    pub(super) fn align(&mut self, rows: &[Vec<String>]) -> String {
        let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| printable(cell)).collect()).collect();
        let count = rows.iter().map(Vec::len).max().unwrap_or(0);
        self.widths.resize(count.max(self.widths.len()), 0);
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let line = |row: &Vec<String>| {
            let last = row.len().saturating_sub(1);
            let cells =
                row.iter().zip(&self.widths).enumerate().map(|(index, (cell, width))| {
                    if index == last { cell.clone() } else { format!("{cell:width$}{GAP}") }
                });
            cells.collect::<String>() + "\n"
        };
        rows.iter().map(line).collect()
    }
}

/// Text on one line that can't command the terminal.
fn printable(text: &str) -> String {
    let first = text.lines().next().unwrap_or_default();
    let mut shown: String = first.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.lines().nth(1).is_some() {
        shown.push('…');
    }
    shown
}

/// A table that the server computed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Value>,
    /// The revision that the table shows.
    pub(super) resource_version: String,
    /// Where the rest begins, if there is more.
    pub(super) next: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
struct Column {
    name: String,
    /// Columns of a priority above zero are for wide output.
    priority: i64,
}

/// How to show a table.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Layout {
    pub(super) wide: bool,
    pub(super) namespaces: bool,
}

impl Table {
    /// Reads an answer; `None` if the server sent something else.
    pub(super) fn read(value: &Value) -> Option<Self> {
        if value["kind"] != "Table" {
            return None;
        }
        let column = |column: &Value| Column {
            name: column["name"].as_str().unwrap_or_default().to_uppercase(),
            priority: column["priority"].as_i64().unwrap_or(0),
        };
        let array = |field: &str| value[field].as_array().cloned().unwrap_or_default();
        let text = |field: &str| value["metadata"][field].as_str().unwrap_or_default().to_owned();
        Some(Self {
            columns: array("columnDefinitions").iter().map(column).collect(),
            rows: array("rows"),
            resource_version: text("resourceVersion"),
            next: Some(text("continue")).filter(|next| !next.is_empty()),
        })
    }

    /// Whether the server told what the columns are; in a watch only the first event does.
    pub(super) fn has_columns(&self) -> bool {
        !self.columns.is_empty()
    }

    /// Takes the columns of an earlier table.
    pub(super) fn with_columns_of(mut self, other: &Self) -> Self {
        if self.columns.is_empty() {
            self.columns.clone_from(&other.columns);
        }
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The objects behind the rows.
    pub(super) fn objects(&self) -> impl Iterator<Item = &Value> {
        self.rows.iter().map(|row| &row["object"])
    }

    /// Names of the shown columns.
    pub(super) fn header(&self, layout: Layout) -> Vec<String> {
        let namespace = layout.namespaces.then(|| "NAMESPACE".to_owned());
        namespace.into_iter().chain(self.shown(layout).map(|(_, column)| column.name.clone())).collect()
    }

    /// The rows' cells in the shown columns.
    pub(super) fn cells(&self, layout: Layout) -> Vec<Vec<String>> {
        let cells = |row: &Value| {
            let namespace = layout.namespaces.then(|| cell(&row["object"]["metadata"]["namespace"]));
            let shown = self.shown(layout).map(|(index, _)| cell(&row["cells"][index]));
            namespace.into_iter().chain(shown).collect()
        };
        self.rows.iter().map(cells).collect()
    }

    fn shown(&self, layout: Layout) -> impl Iterator<Item = (usize, &Column)> {
        self.columns.iter().enumerate().filter(move |(_, column)| layout.wide || column.priority == 0)
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => NOTHING.to_owned(),
        Value::String(text) if text.is_empty() => NOTHING.to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn table() -> Table {
        Table::read(&json!({
            "kind": "Table",
            "metadata": {"resourceVersion": "7", "continue": "more"},
            "columnDefinitions": [
                {"name": "Name", "type": "string", "priority": 0},
                {"name": "Data", "type": "integer", "priority": 0},
                {"name": "Node", "type": "string", "priority": 1},
            ],
            "rows": [
                {"cells": ["a-long-name", 2, "n1"], "object": {"metadata": {"name": "a-long-name", "namespace": "x"}}},
                {"cells": ["ä", null], "object": {"metadata": {"name": "ä", "namespace": "default"}}},
            ],
        }))
        .unwrap()
    }

    fn render(layout: Layout) -> String {
        let table = table();
        let mut rows = vec![table.header(layout)];
        rows.extend(table.cells(layout));
        Columns::default().align(&rows)
    }

    #[test]
    fn tables_are_aligned_as_wide_as_wanted() {
        assert_eq!(render(Layout::default()), "NAME          DATA\na-long-name   2\nä             <none>\n");
        assert_eq!(
            render(Layout { wide: true, namespaces: true }),
            "NAMESPACE   NAME          DATA     NODE\nx           a-long-name   2        n1\ndefault     ä             <none>   <none>\n"
        );
        assert_eq!((table().resource_version.as_str(), table().next.as_deref()), ("7", Some("more")));
        assert_eq!(Table::read(&json!({"kind": "ConfigMapList"})), None);
    }

    #[test]
    fn cells_can_not_command_the_terminal() {
        let rows = [vec!["a\x1b[2Jb".to_owned(), "one\ntwo".to_owned()]];
        assert_eq!(Columns::default().align(&rows), "a\u{fffd}[2Jb   one…\n");
    }

    #[test]
    fn later_rows_keep_the_columns() {
        let mut columns = Columns::default();
        columns.align(&[vec!["NAME".into(), "AGE".into()], vec!["long-name".into(), "1s".into()]]);
        assert_eq!(columns.align(&[vec!["b".into(), "2s".into()]]), "b           2s\n");
    }
}
