//! The table `artifacts`: what was uploaded, with its digest.

use mcplane_blobs::Put;
use mcplane_core::Result;
use mcplane_db::Tx;

/// Records an upload over what was there.
pub(super) async fn put(tx: &mut Tx, path: &str, put: Put, by: &str) -> Result<()> {
    let sql = "INSERT INTO artifacts (path, size, digest, uploaded_at, uploaded_by) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (path) DO UPDATE SET size = excluded.size, digest = excluded.digest, \
               uploaded_at = excluded.uploaded_at, uploaded_by = excluded.uploaded_by";
    let size = i64::try_from(put.size).unwrap_or(i64::MAX);
    let now = tx.now();
    let args = vec![path.into(), size.into(), put.digest.to_hex().into(), now.into(), by.into()];
    tx.execute(sql, args).await.map(drop)
}

/// Forgets a file, or all below a folder.
pub(super) async fn forget(tx: &mut Tx, path: &str) -> Result<()> {
    // Between `path/` and `path0` lies all that begins with `path/`.
    let sql = "DELETE FROM artifacts WHERE path = $1 OR (path > $2 AND path < $3)";
    tx.execute(sql, vec![path.into(), format!("{path}/").into(), format!("{path}0").into()]).await.map(drop)
}

/// Forgets some files of a folder; tells how many.
pub(super) async fn forget_some(tx: &mut Tx, path: &str) -> Result<u64> {
    let sql =
        "DELETE FROM artifacts WHERE path IN (SELECT path FROM artifacts WHERE path > $1 AND path < $2 LIMIT 1000)";
    tx.execute(sql, vec![format!("{path}/").into(), format!("{path}0").into()]).await
}
