//! The mcplane binary.
fn main() {}
