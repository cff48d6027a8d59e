//! The append-only audit log: who did what to which object, with which outcome, in which trace.
//!
//! Entries are chained: each hash covers the entry and the hash before it, so that a log from which somebody with access
//! to the database removed or changed an entry no longer verifies.

use std::fmt::Write as _;

use mcplane_core::{Result, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::open::Db;
use crate::sql::{Arg, Row};

/// One thing that somebody did or was refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Entry {
    /// Name of the caller.
    pub actor: String,
    /// `create`, `delete`, `login`, …
    pub verb: String,
    /// `configmaps`, `roles.rbac.authorization.k8s.io`, `serviceaccounts/token`.
    pub resource: String,
    /// Namespace; empty for cluster-scoped things.
    pub namespace: String,
    /// Name; empty for collections.
    pub name: String,
    /// `allowed`, `denied` or `failed`.
    pub outcome: String,
    /// HTTP status of the answer.
    pub code: i64,
    /// W3C trace id of the request.
    pub trace: String,
    /// Address of the client.
    pub source: String,
    /// What a reader should know besides; never a secret.
    pub detail: String,
}

/// Bytes of one text of an entry; what a client sent may be longer.
const LONGEST: usize = 4096;

impl Entry {
    /// Cuts long texts and replaces NUL, which PostgreSQL refuses: one entry must not spoil the group that it is in.
    pub(crate) fn storable(mut self) -> Self {
        for text in [
            &mut self.actor,
            &mut self.verb,
            &mut self.resource,
            &mut self.namespace,
            &mut self.name,
            &mut self.outcome,
            &mut self.trace,
            &mut self.source,
            &mut self.detail,
        ] {
            if text.len() > LONGEST {
                text.truncate(text.floor_char_boundary(LONGEST));
            }
            if text.contains('\0') {
                *text = text.replace('\0', "\u{fffd}");
            }
        }
        self
    }
}

/// An entry in its place in the log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Record {
    /// Place in the log, from 1, without gaps.
    pub sequence: i64,
    /// Milliseconds since the epoch.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub entry: Entry,
    /// SHA-256, in hex, over the previous hash and this record.
    pub hash: String,
}

pub(crate) const COLUMNS: &str =
    "sequence, at, actor, verb, resource, namespace, name, outcome, code, trace, source, detail, hash";

impl Record {
    pub(crate) fn chain(sequence: i64, at: Timestamp, entry: Entry, previous_hash: &str) -> Self {
        let hash = digest(sequence, at, &entry, previous_hash);
        Self { sequence, at, entry, hash }
    }

    pub(crate) fn into_args(self, args: &mut Vec<Arg>) {
        let Self { sequence, at, entry, hash } = self;
        args.extend([Arg::from(sequence), Arg::from(at)]);
        args.extend(
            [entry.actor, entry.verb, entry.resource, entry.namespace, entry.name, entry.outcome].map(Arg::from),
        );
        args.push(Arg::from(entry.code));
        args.extend([entry.trace, entry.source, entry.detail, hash].map(Arg::from));
    }

    fn from_row(row: &Row) -> Result<Self> {
        let text = |column| row.text(column).map(str::to_owned);
        Ok(Self {
            sequence: row.int(0)?,
            at: row.int(1)?,
            entry: Entry {
                actor: text(2)?,
                verb: text(3)?,
                resource: text(4)?,
                namespace: text(5)?,
                name: text(6)?,
                outcome: text(7)?,
                code: row.int(8)?,
                trace: text(9)?,
                source: text(10)?,
                detail: text(11)?,
            },
            hash: text(12)?,
        })
    }
}

/// Each field goes in with its length, so that moving a character from one field to the next changes the digest.
fn digest(sequence: i64, at: Timestamp, entry: &Entry, previous_hash: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(sequence.to_be_bytes());
    hasher.update(at.to_be_bytes());
    hasher.update(entry.code.to_be_bytes());
    for field in [
        previous_hash,
        &entry.actor,
        &entry.verb,
        &entry.resource,
        &entry.namespace,
        &entry.name,
        &entry.outcome,
        &entry.trace,
        &entry.source,
        &entry.detail,
    ] {
        hasher.update((field.len() as u64).to_be_bytes());
        hasher.update(field.as_bytes());
    }
    let mut hex = String::with_capacity(64);
    for byte in hasher.finalize() {
        // Writing to a String can't fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// What to look for; empty fields match everything.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Exact name of the caller.
    pub actor: String,
    /// Exact verb.
    pub verb: String,
    /// Exact resource.
    pub resource: String,
    /// Exact namespace.
    pub namespace: String,
    /// Exact name.
    pub name: String,
    /// Exact trace id.
    pub trace: String,
    /// Not before, in milliseconds since the epoch.
    pub since: Timestamp,
    /// Only entries before this place in the log; 0 for the newest.
    pub before: i64,
    /// At most so many; never more than 1000.
    pub limit: i64,
}

/// Records that one query brings at most.
const MOST: i64 = 1000;

impl Db {
    /// Records that match, newest first.
    pub async fn audit(&self, query: &Query) -> Result<Vec<Record>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM audit WHERE ($1 = '' OR actor = $1) AND ($2 = '' OR verb = $2) \
             AND ($3 = '' OR resource = $3) AND ($4 = '' OR namespace = $4) AND ($5 = '' OR name = $5) \
             AND ($6 = '' OR trace = $6) AND at >= $7 AND ($8 = 0 OR sequence < $8) ORDER BY sequence DESC LIMIT $9"
        );
        let text = [&query.actor, &query.verb, &query.resource, &query.namespace, &query.name, &query.trace];
        let mut args: Vec<Arg> = text.into_iter().map(|t| Arg::from(t.as_str())).collect();
        args.extend([query.since, query.before, query.limit.clamp(0, MOST)].map(Arg::from));
        self.fetch(sql, args).await?.iter().map(Record::from_row).collect()
    }

    /// Recomputes the chain. `Ok(n)` with the number of entries when it holds, otherwise the place in the log of the first
    /// entry that was changed or is missing.
    pub async fn verify_audit(&self) -> Result<std::result::Result<i64, i64>> {
        const PAGE: i64 = 1000;
        // The log only grows, so entries that came after this are checked by the next call.
        let rows = self.fetch("SELECT audit_sequence, audit_hash FROM head", vec![]).await?;
        let row = rows.first().ok_or_else(|| mcplane_core::Error::internal("the head row is missing"))?;
        let (last, last_hash) = (row.int(0)?, row.text(1)?);
        let sql = format!(
            "SELECT {COLUMNS} FROM audit WHERE sequence > $1 AND sequence <= $2 ORDER BY sequence LIMIT {PAGE}"
        );
        let (mut verified, mut hash) = (0, String::new());
        while verified < last {
            let page = self.fetch(sql.clone(), vec![Arg::from(verified), Arg::from(last)]).await?;
            for row in &page {
                let record = Record::from_row(row)?;
                let place = verified + 1;
                if record.sequence != place || record.hash != digest(place, record.at, &record.entry, &hash) {
                    return Ok(Err(place));
                }
                (verified, hash) = (place, record.hash);
            }
            if page.is_empty() {
                return Ok(Err(verified + 1));
            }
        }
        Ok(if hash == last_hash { Ok(last) } else { Err(last) })
    }
}
