//! From rows of `runs` to whole runs: a query for each thing that belongs to runs, however many runs there are.

use std::collections::HashMap;

use mcplane_core::Result;
use mcplane_db::{Arg, Snapshot};

use super::types::{Run, RunInfo};
use crate::tags::Tag;
use crate::{datasets, metrics};

/// Adds to runs what was logged to them.
pub(crate) async fn assemble(view: &mut Snapshot, infos: Vec<RunInfo>) -> Result<Vec<Run>> {
    if infos.is_empty() {
        return Ok(vec![]);
    }
    let numbers: Vec<i64> = infos.iter().map(|info| info.no).collect();
    let mut metrics = metrics::store::latest(view, &numbers).await?;
    let mut params = pairs(view, "run_params", &numbers).await?;
    let mut tags = pairs(view, "run_tags", &numbers).await?;
    let mut lineage = datasets::store::lineage(view, &numbers).await?;
    let mut take = |info: RunInfo| {
        let no = info.no;
        let of = |all: &mut HashMap<i64, Vec<Tag>>| all.remove(&no).unwrap_or_default();
        Run {
            metrics: metrics.remove(&no).unwrap_or_default(),
            params: of(&mut params),
            tags: of(&mut tags),
            lineage: lineage.remove(&no).unwrap_or_default(),
            info,
        }
    };
    Ok(infos.into_iter().map(&mut take).collect())
}

/// Keys and values in `table`, by run and in the order of keys.
async fn pairs(view: &mut Snapshot, table: &str, runs: &[i64]) -> Result<HashMap<i64, Vec<Tag>>> {
    let list = view.dialect().numbers(1);
    let sql = format!("SELECT run, key, value FROM {table} WHERE run IN {list} ORDER BY run, key");
    let mut found: HashMap<i64, Vec<Tag>> = HashMap::with_capacity(runs.len());
    for row in view.fetch(sql, vec![Arg::list(runs)]).await? {
        found.entry(row.int(0)?).or_default().push(Tag::new(row.text(1)?, row.text(2)?));
    }
    Ok(found)
}
