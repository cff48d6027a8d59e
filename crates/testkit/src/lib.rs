//! mcplane-testkit
