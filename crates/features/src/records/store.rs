//! The table `feature_materializations`.

use mcplane_core::{Error, Result, clock};
use mcplane_db::{Db, Row, Tx};

use super::types::{Materialization, Times, Told};

/// Materialisations of a view that are kept.
const MOST_KEPT: i64 = 1000;

const COLUMNS: &str = "id, generation, spec_digest, inputs, output, output_digest, row_count, started_at, finished_at, recorded_at, recorded_by";

/// The view that rows are of.
#[derive(Debug, Clone)]
pub(super) struct ViewKey {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
}

/// Keeps a materialisation; tells whether it is new. The oldest of the view make room.
pub(super) async fn insert(tx: &mut Tx, view: &ViewKey, told: &Told, times: Times, by: &str) -> Result<bool> {
    let now = tx.now();
    let inputs = serde_json::to_string(&told.inputs).map_err(Error::internal)?;
    let sql = format!(
        "INSERT INTO feature_materializations (namespace, view_uid, view, {COLUMNS}) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT (namespace, id) DO NOTHING"
    );
    let mut args = vec![view.namespace.as_str().into(), view.uid.as_str().into(), view.name.as_str().into()];
    args.extend([told.id.as_str().into(), told.generation.into(), told.spec_digest.as_str().into(), inputs.into()]);
    args.extend([told.output.as_str().into(), told.output_digest.as_str().into(), told.rows.into()]);
    args.extend([times.started.into(), times.finished.into(), now.into(), by.into()]);
    if tx.execute(sql, args).await? == 0 {
        return Ok(false);
    }
    let sql = "DELETE FROM feature_materializations WHERE view_uid = $1 AND no <= \
               (SELECT no FROM feature_materializations WHERE view_uid = $1 ORDER BY no DESC LIMIT 1 OFFSET $2)";
    tx.execute(sql, vec![view.uid.as_str().into(), MOST_KEPT.into()]).await?;
    Ok(true)
}

/// The materialisation of an id, with the uid of its view.
pub(super) async fn by_id(db: &Db, namespace: &str, id: &str) -> Result<Option<(String, Materialization)>> {
    let sql = format!("SELECT {COLUMNS}, view_uid FROM feature_materializations WHERE namespace = $1 AND id = $2");
    let rows = db.fetch(sql, vec![namespace.into(), id.into()]).await?;
    rows.first().map(|row| Ok((row.text(11)?.to_owned(), read(row)?))).transpose()
}

/// The last materialisations of a view, the latest first.
pub(super) async fn of_view(db: &Db, uid: &str, most: i64) -> Result<Vec<Materialization>> {
    let sql = format!("SELECT {COLUMNS} FROM feature_materializations WHERE view_uid = $1 ORDER BY no DESC LIMIT $2");
    db.fetch(sql, vec![uid.into(), most.into()]).await?.iter().map(read).collect()
}

/// Forgets all of a namespace.
pub(super) async fn clear(db: &Db, namespace: &str) -> Result<()> {
    let namespace = namespace.to_owned();
    let sql = "DELETE FROM feature_materializations WHERE namespace = $1";
    db.write(move |tx| Box::pin(async move { tx.execute(sql, vec![namespace.into()]).await })).await.map(drop)
}

fn read(row: &Row) -> Result<Materialization> {
    let text = |column| row.text(column).map(str::to_owned);
    let time = |column| row.int(column).map(clock::rfc3339_micro);
    Ok(Materialization {
        told: Told {
            id: text(0)?,
            generation: row.int(1)?,
            spec_digest: text(2)?,
            inputs: serde_json::from_str(row.text(3)?).map_err(Error::internal)?,
            output: text(4)?,
            output_digest: text(5)?,
            rows: row.int(6)?,
            started_at: time(7)?,
            finished_at: time(8)?,
        },
        recorded_at: time(9)?,
        recorded_by: text(10)?,
    })
}
