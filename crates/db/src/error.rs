//! How the database's faults reach callers.

use mcplane_core::Error;

/// A lost or refused connection may heal, so callers may retry; all else is a fault of the server.
pub(crate) fn from_sqlx(error: sqlx::Error) -> Error {
    let away = match &error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => true,
        // Class 08 is "connection exception", 57P "operator intervention", 53 "insufficient resources", 40 "rollback".
        sqlx::Error::Database(db) => db.code().is_some_and(|code| {
            ["08", "57P", "53", "40"].iter().any(|class| code.len() == 5 && code.starts_with(class))
        }),
        _ => false,
    };
    if away {
        Error::Unavailable {
            message: "the database is not available; try again".to_owned(),
            source: Some(Box::new(error)),
        }
    } else {
        Error::internal(error)
    }
}
