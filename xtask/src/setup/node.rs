//! The packages of the front end.

use anyhow::{Result, bail};

use crate::fresh::Product;
use crate::paths;
use crate::run::{command, output, run, step, which};

/// The oldest Node that Vite runs on, major and minor.
const NODE: (u32, u32) = (20, 19);

/// Installs what www/package-lock.json names, if it has changed.
pub fn packages() -> Result<()> {
    let Some(npm) = which("npm") else {
        let (major, minor) = NODE;
        bail!("there is no npm; install Node {major}.{minor} or newer, from nodejs.org or your system's packages");
    };
    let version = output(command("node").arg("--version")).unwrap_or_default();
    let mut numbers = version.trim_start_matches('v').split('.').map_while(|number| number.parse::<u32>().ok());
    if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < NODE {
        let (major, minor) = NODE;
        bail!("node --version says {version:?}; install Node {major}.{minor} or newer");
    }
    let product = Product::new("node", &["www/package-lock.json"], &version)?;
    if product.is_fresh(&[&paths::www().join("node_modules")]) {
        return Ok(());
    }
    step("npm ci, in www/", || {
        let mut npm = command(npm);
        npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(paths::www());
        // The browser is the system's.
        npm.env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1");
        run(&mut npm)
    })?;
    product.made()
}
