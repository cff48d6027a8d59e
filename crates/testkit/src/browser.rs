//! The web browser of this machine, without a screen.

use crate::process::find;
use std::path::PathBuf;

/// Names under which distributions have it.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// The program; `cargo xtask setup` installs it where it may.
pub fn chromium() -> PathBuf {
    let found = NAMES.iter().find_map(|name| find(name, &[]));
    found.expect("no Chromium: run `cargo xtask setup`, or install the package chromium")
}
