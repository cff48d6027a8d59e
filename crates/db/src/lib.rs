//! mcplane-db
