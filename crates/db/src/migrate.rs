//! Schema versions: one numbering, one file per database and version, forward only.

use mcplane_core::{Error, Result};
use sqlx::SqlSafeStr as _;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};

use crate::sql::Connection;

macro_rules! migrations {
    ($($version:literal $name:literal),+ $(,)?) => {
        &[$(($version, $name,
            include_str!(concat!("../migrations/sqlite/", $name, ".sql")),
            include_str!(concat!("../migrations/postgres/", $name, ".sql")),
        )),+]
    };
}

/// Version, name, text for SQLite, text for PostgreSQL. A capability that needs tables adds a line.
const MIGRATIONS: &[(i64, &str, &str, &str)] = migrations![
    1 "0001_store",
    2 "0002_users",
    3 "0003_tracking",
    4 "0004_metrics",
    5 "0005_logged_models",
    6 "0006_models",
    7 "0007_traces",
    8 "0008_evaluation_datasets",
    9 "0009_webhooks",
    10 "0010_artifacts",
    11 "0011_lineage",
    12 "0012_purge",
    14 "0014_scorers",
    15 "0015_tasks",
    16 "0016_contracts",
    17 "0017_gates",
    18 "0018_features",
    19 "0019_pipelines",
    22 "0022_notes",
    30 "0030_serving",
    31 "0031_monitors",
    32 "0032_rollouts",
    40 "0040_runs_in_order",
    41 "0041_runs_by_start",
    42 "0042_chunks_by_time",
];

pub(crate) async fn run(connection: Connection<'_>) -> Result<()> {
    apply(connection, i64::MAX).await
}

async fn apply(connection: Connection<'_>, last: i64) -> Result<()> {
    let migrations: Vec<Migration> = MIGRATIONS
        .iter()
        .filter(|(version, ..)| *version <= last)
        .map(|(version, name, sqlite, postgres)| {
            let sql = if matches!(connection, Connection::Sqlite(_)) { *sqlite } else { *postgres };
            Migration::new(*version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
        })
        .collect();
    let migrator = Migrator::with_migrations(migrations);
    let done = match connection {
        Connection::Sqlite(connection) => migrator.run_direct(None, connection, false).await,
        Connection::Postgres(connection) => migrator.run_direct(None, connection, false).await,
    };
    done.map_err(|error| match error {
        MigrateError::VersionMissing(version) => Error::Unavailable {
            message: format!(
                "this database has schema version {version}, which this mcplane does not know: start the newer mcplane that made it"
            ),
            source: None,
        },
        other => Error::internal(other),
    })
}

/// Brings an empty database to an old schema version; only tests of migrations need that.
#[doc(hidden)]
pub async fn migrate_to(url: &crate::StoreUrl, last: i64) -> Result<()> {
    use sqlx::Connection as _;
    match url {
        crate::StoreUrl::Sqlite(path) => {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
            let mut connection =
                sqlx::SqliteConnection::connect_with(&options).await.map_err(crate::error::from_sqlx)?;
            apply(Connection::Sqlite(&mut connection), last).await
        }
        crate::StoreUrl::Postgres(url) => {
            let mut connection = sqlx::PgConnection::connect(url).await.map_err(crate::error::from_sqlx)?;
            apply(Connection::Postgres(&mut connection), last).await
        }
    }
}
