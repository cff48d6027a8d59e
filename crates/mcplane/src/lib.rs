//! mcplane
