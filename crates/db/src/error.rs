//! How the database's faults reach callers.

use mcplane_core::Error;
use sqlx::sqlite::SqliteError;

/// As [`from_sqlx`] of a connection that has no pool and no thread.
pub(crate) fn from_rusqlite(error: rusqlite::Error) -> Error {
    let away = error.sqlite_error().is_some_and(|error| is_transient_sqlite(error.extended_code));
    reported(away, error)
}

/// A lost or refused connection may heal, as may a locked file or a full disk, so callers may retry; all else is a fault
/// of the server.
pub(crate) fn from_sqlx(error: sqlx::Error) -> Error {
    let away = match &error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => true,
        // What sqlx makes of a connection that closes while it is being set up.
        sqlx::Error::Protocol(_) | sqlx::Error::Tls(_) => true,
        sqlx::Error::Database(database) => database.code().is_some_and(|code| {
            if database.try_downcast_ref::<SqliteError>().is_some() {
                code.parse().is_ok_and(is_transient_sqlite)
            } else {
                is_transient_postgres(&code)
            }
        }),
        _ => false,
    };
    reported(away, error)
}

fn reported(away: bool, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    if away {
        Error::Unavailable {
            message: "the database is not available; try again".to_owned(),
            source: Some(Box::new(error)),
        }
    } else {
        Error::internal(error)
    }
}

/// The low byte is the primary code: 5 busy, 6 locked, 7 out of memory, 10 input/output error, 13 full, 14 can't open.
const fn is_transient_sqlite(code: i32) -> bool {
    matches!(code & 0xff, 5 | 6 | 7 | 10 | 13 | 14)
}

/// Class 08 is "connection exception", 40 "rollback", 53 "insufficient resources", 57P "operator intervention"; 25006 is
/// a write on a standby, 55P03 a lock that was not to be had in time.
fn is_transient_postgres(code: &str) -> bool {
    ["08", "40", "53", "57P", "25006", "55P03"].iter().any(|class| code.starts_with(class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_tell_what_may_heal() {
        for (code, transient) in [(5, true), (13, true), (522, true), (1, false), (2067, false)] {
            assert_eq!(is_transient_sqlite(code), transient, "{code}");
        }
        for (code, transient) in [("08006", true), ("57P01", true), ("40001", true), ("57014", false), ("23505", false)]
        {
            assert_eq!(is_transient_postgres(code), transient, "{code}");
        }
    }
}
