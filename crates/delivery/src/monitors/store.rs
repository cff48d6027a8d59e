//! The SQL of monitors.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use mcplane_core::{Error, Result, Timestamp};
use mcplane_db::{Db, Row, Tx};
use mcplane_monitoring::bands::Alert;
use mcplane_monitoring::live::Kept;
use mcplane_monitoring::profiles::Profile;
use mcplane_monitoring::windows::Traffic;

use super::Watches;

/// A window of traffic takes no more when it is unpacked.
const LARGEST_WINDOW: u64 = 64 << 20;

/// What each row of this server is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) host: String,
    pub(super) subset: String,
}

/// An alert that somebody has to be told of.
#[derive(Debug, Clone)]
pub(super) struct Notice {
    pub(super) no: i64,
    pub(super) monitor: String,
    pub(super) url: String,
    pub(super) format: String,
    pub(super) alert: Alert,
    pub(super) attempts: i64,
    pub(super) due_at: Timestamp,
}

fn namespace(host: &str) -> &str {
    host.split_once('.').map_or("", |(_, namespace)| namespace)
}

fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(Error::internal)
}

fn key(row: &Row) -> Result<Key> {
    Ok(Key { host: row.text(0)?.to_owned(), subset: row.text(1)?.to_owned() })
}

/// Levels and open alerts of this server.
pub(super) async fn states(db: &Db, server: &str) -> Result<Vec<(Key, Watches)>> {
    let sql = "SELECT host, subset, state FROM monitor_states WHERE server = $1";
    let rows = db.fetch(sql, vec![server.into()]).await?;
    rows.iter().map(|row| Ok((key(row)?, json(row.text(2)?)?))).collect()
}

/// Writes levels and open alerts of a version.
pub(super) async fn put_state(tx: &mut Tx, server: &str, key: &Key, watches: &Watches) -> Result<()> {
    let sql = "INSERT INTO monitor_states (host, subset, server, namespace, state) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (host, subset, server) DO UPDATE SET state = $5";
    let state = serde_json::to_string(watches).map_err(Error::internal)?;
    put(tx, sql, server, key, state.into()).await
}

async fn put(tx: &mut Tx, sql: &'static str, server: &str, key: &Key, value: mcplane_db::Arg) -> Result<()> {
    let args =
        vec![key.host.as_str().into(), key.subset.as_str().into(), server.into(), namespace(&key.host).into(), value];
    tx.execute(sql, args).await.map(drop)
}

/// Forgets a version.
pub(super) async fn forget(tx: &mut Tx, server: &str, key: &Key) -> Result<()> {
    for table in ["monitor_states", "monitor_windows", "monitor_references"] {
        let sql = format!("DELETE FROM {table} WHERE host = $1 AND subset = $2 AND server = $3");
        tx.execute(sql, vec![key.host.as_str().into(), key.subset.as_str().into(), server.into()]).await?;
    }
    Ok(())
}

/// Windows of traffic that this server kept.
pub(super) async fn windows(db: &Db, server: &str) -> Result<Vec<Kept>> {
    let sql = "SELECT host, subset, traffic FROM monitor_windows WHERE server = $1";
    let rows = db.fetch(sql, vec![server.into()]).await?;
    let kept = |row: &Row| {
        let Key { host, subset } = key(row)?;
        Ok(unpack(row.bytes(2)?).map(|traffic| Kept { host, subset, traffic }))
    };
    // One that can't be read is a window that begins anew.
    rows.iter().filter_map(|row| kept(row).transpose()).collect()
}

/// Keeps windows of traffic.
pub(super) async fn put_windows(tx: &mut Tx, server: &str, windows: Vec<(Key, Vec<u8>)>) -> Result<()> {
    let sql = "INSERT INTO monitor_windows (host, subset, server, namespace, traffic) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (host, subset, server) DO UPDATE SET traffic = $5";
    for (key, packed) in windows {
        put(tx, sql, server, &key, packed.into()).await?;
    }
    Ok(())
}

/// A window as bytes: mostly zeros, so that a second of many versions is no load.
pub(super) fn pack(traffic: &Traffic) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    let text = serde_json::to_vec(traffic).unwrap_or_default();
    // Writing to memory can't fail.
    let _ = encoder.write_all(&text);
    encoder.finish().unwrap_or_default()
}

fn unpack(bytes: &[u8]) -> Option<Traffic> {
    let mut text = Vec::new();
    DeflateDecoder::new(bytes).take(LARGEST_WINDOW).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Profiles of first windows.
pub(super) async fn references(db: &Db, server: &str) -> Result<Vec<(Key, Profile)>> {
    let sql = "SELECT host, subset, profile FROM monitor_references WHERE server = $1";
    let rows = db.fetch(sql, vec![server.into()]).await?;
    let read = |row: &Row| Ok(Profile::from_json(row.text(2)?).ok().map(|profile| (key(row), profile)));
    let read: Vec<_> = rows.iter().filter_map(|row| read(row).transpose()).collect::<Result<_>>()?;
    read.into_iter().map(|(key, profile)| Ok((key?, profile))).collect()
}

/// Keeps the profile of a first window.
pub(super) async fn put_reference(tx: &mut Tx, server: &str, key: &Key, profile: String) -> Result<()> {
    let sql = "INSERT INTO monitor_references (host, subset, server, namespace, profile) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (host, subset, server) DO UPDATE SET profile = $5";
    put(tx, sql, server, key, profile.into()).await
}

/// Something has to be told.
pub(super) async fn add_notice(
    tx: &mut Tx,
    namespace: &str,
    monitor: &str,
    (url, format): (String, &'static str),
    alert: &Alert,
) -> Result<()> {
    let sql = "INSERT INTO monitor_notices (namespace, monitor, url, format, alert, attempts, due_at) \
               VALUES ($1, $2, $3, $4, $5, 0, $6)";
    let alert = serde_json::to_string(alert).map_err(Error::internal)?;
    let now = tx.now();
    tx.execute(sql, vec![namespace.into(), monitor.into(), url.into(), format.into(), alert.into(), now.into()])
        .await
        .map(drop)
}

/// What has to be told by now, in its order.
pub(super) async fn due(db: &Db, now: Timestamp, most: i64) -> Result<Vec<Notice>> {
    let sql = "SELECT no, monitor, url, format, alert, attempts, due_at FROM monitor_notices \
               WHERE due_at <= $1 ORDER BY due_at, no LIMIT $2";
    let rows = db.fetch(sql, vec![now.into(), most.into()]).await?;
    let read = |row: &Row| {
        Ok(Notice {
            no: row.int(0)?,
            monitor: row.text(1)?.to_owned(),
            url: row.text(2)?.to_owned(),
            format: row.text(3)?.to_owned(),
            alert: json(row.text(4)?)?,
            attempts: row.int(5)?,
            due_at: row.int(6)?,
        })
    };
    rows.iter().map(read).collect()
}

/// Takes a notice to tell it, unless another server was faster: it is due again later, should this one die.
pub(super) async fn claim(tx: &mut Tx, notice: &Notice, until: Timestamp) -> Result<bool> {
    let sql = "UPDATE monitor_notices SET due_at = $1, attempts = attempts + 1 WHERE no = $2 AND due_at = $3";
    Ok(tx.execute(sql, vec![until.into(), notice.no.into(), notice.due_at.into()]).await? == 1)
}

/// A notice was told, or never can be.
pub(super) async fn told(tx: &mut Tx, no: i64) -> Result<()> {
    tx.execute("DELETE FROM monitor_notices WHERE no = $1", vec![no.into()]).await.map(drop)
}

/// A notice has to be told again.
pub(super) async fn again(tx: &mut Tx, no: i64, at: Timestamp) -> Result<()> {
    tx.execute("UPDATE monitor_notices SET due_at = $1 WHERE no = $2", vec![at.into(), no.into()]).await.map(drop)
}

/// Forgets everything of a namespace.
pub(super) async fn empty(tx: &mut Tx, namespace: &str) -> Result<()> {
    for table in ["monitor_states", "monitor_windows", "monitor_references", "monitor_notices"] {
        tx.execute(format!("DELETE FROM {table} WHERE namespace = $1"), vec![namespace.into()]).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use mcplane_monitoring::windows::TrafficConfig;

    use super::*;

    #[test]
    fn a_window_is_packed_small() {
        let mut traffic = Traffic::new(TrafficConfig::default());
        for at in 0..300 {
            traffic.record(at * 1_000, 2_000 + at as u64, at % 10 == 0);
        }
        let packed = pack(&traffic);
        assert!(packed.len() < 8 << 10, "{} bytes", packed.len());
        let (back, before) = (unpack(&packed).unwrap().summary(299_000), traffic.summary(299_000));
        assert_eq!((back.requests, back.errors, back.p99_ms), (before.requests, before.errors, before.p99_ms));
        assert!(unpack(b"torn").is_none());
    }
}
