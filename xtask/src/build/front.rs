//! The front end: type-checked, then bundled by Vite into dist/.

use anyhow::Result;

use crate::fresh::Product;
use crate::paths;
use crate::run::{command, run, step};

/// Bundles the front end, if it or the engine has changed.
pub fn bundle() -> Result<()> {
    let product = Product::new("front", &["www", "www/pkg/mar.js", "www/pkg/mar_bg.wasm"], "")?;
    if product.is_fresh(&[&paths::dist().join("index.html")]) {
        return Ok(());
    }
    crate::setup::packages()?;
    step("bundle the page by Vite", || {
        run(command(paths::node_bin("vite")).args(["build", "--logLevel", "warn"]).current_dir(paths::www()))
    })?;
    product.made()
}
