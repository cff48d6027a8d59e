//! mcplane-objects
