//! Notes to the engine that decides, for where several servers share a database: a server that changes a task leaves a note of
//! it in the same transaction, and the engine, which looks for notes many times a second, looks at that task again. A
//! note says no more than that, so it may be heeded twice, and a new engine, which reads all rows, need not know any.
//!
//! SQLite's file belongs to one server: there nobody leaves notes and nobody looks.

use mcplane_core::Result;
use mcplane_db::{Arg, Db, Tx};

/// Stands for the settings of queues in the place of a task.
pub(crate) const QUEUES: i64 = 0;
/// Notes that are heeded at once.
const MOST: i64 = 10_000;

/// A note: its own number, and the task's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) no: i64,
    pub(crate) task: i64,
}

/// Leaves notes, whoever decides.
pub(crate) async fn leave(tx: &mut Tx, tasks: &[i64]) -> Result<()> {
    if tasks.is_empty() || !tx.dialect().is_shared() {
        return Ok(());
    }
    let sql = format!("INSERT INTO engine_notes (task) SELECT value FROM {} AS changed", tx.dialect().numbers(1));
    tx.execute(sql, vec![Arg::list(tasks)]).await.map(drop)
}

/// Leaves notes if the engine of another process than `process` decides.
pub(crate) async fn leave_to_others(tx: &mut Tx, process: &str, tasks: &[i64]) -> Result<()> {
    if tasks.is_empty() || !tx.dialect().is_shared() {
        return Ok(());
    }
    // Who takes over meanwhile waits for the lock, and then reads the rows.
    tx.lock().await?;
    let rows = tx.fetch("SELECT holder FROM scheduler", vec![]).await?;
    if rows.first().is_some_and(|row| row.text(0).is_ok_and(|holder| holder == process)) {
        return Ok(());
    }
    leave(tx, tasks).await
}

/// The oldest notes.
pub(crate) async fn read(db: &Db) -> Result<Vec<Note>> {
    let rows = db.fetch("SELECT no, task FROM engine_notes ORDER BY no LIMIT $1", vec![MOST.into()]).await?;
    rows.iter().map(|row| Ok(Note { no: row.int(0)?, task: row.int(1)? })).collect()
}

/// Forgets notes that were heeded.
pub(crate) async fn forget(db: &Db, notes: &[Note]) -> Result<()> {
    let nos: Vec<i64> = notes.iter().map(|note| note.no).collect();
    let sql = format!("DELETE FROM engine_notes WHERE no IN {}", db.dialect().numbers(1));
    db.write(move |tx| Box::pin(async move { tx.execute(sql, vec![Arg::list(&nos)]).await.map(drop) })).await
}
