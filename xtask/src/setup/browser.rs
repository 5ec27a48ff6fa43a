//! The browser that tests and benches run in.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::system::apt_install;
use crate::run::which;

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

const MAC: &str = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome";

/// Chromium: what the variable CHROMIUM names, or what is installed, or what can be.
pub fn chromium() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("CHROMIUM") {
        return Ok(path.into());
    }
    let find = || NAMES.into_iter().find_map(which).or_else(|| Some(PathBuf::from(MAC)).filter(|path| path.exists()));
    if let Some(path) = find() {
        return Ok(path);
    }
    let otherwise = "there is no Chromium; install it, or name one in the variable CHROMIUM";
    apt_install(&["chromium"], otherwise)?;
    find().context(otherwise)
}
