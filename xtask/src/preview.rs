//! `cargo xtask preview`: the picture in README and of links to the page, taken anew from the page as it is.

use anyhow::Result;

use crate::run::{command, run, step};
use crate::server::Server;
use crate::{build, paths, setup};

/// Writes `www/public/preview.png`; look at it before it is committed.
pub fn take() -> Result<()> {
    setup::packages()?;
    let (dist, chromium) = (build::page()?, setup::chromium()?);
    let server = Server::start(&dist, &[], 0)?;
    step("take the picture in Chromium", || {
        let mut node = command("node");
        node.arg("bench/preview.mjs").arg(format!("http://{}", server.address)).arg("public/preview.png");
        run(node.current_dir(paths::www()).env("CHROMIUM", &chromium))
    })
}
