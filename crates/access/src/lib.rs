//! mcplane-access
