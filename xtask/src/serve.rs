//! `cargo xtask serve`: the page, on this machine.

use anyhow::Result;
use clap::Args;

use crate::build;
use crate::server::Server;

/// `cargo xtask serve`
#[derive(Args)]
pub struct Serve {
    /// Where to listen on 127.0.0.1
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Open the page in the browser
    #[arg(long)]
    open: bool,
}

impl Serve {
    /// Builds what is stale, then serves until Ctrl-C.
    pub fn run(&self) -> Result<()> {
        let server = Server::start(&build::page()?, &[], self.port)?;
        let address = format!("http://{}/", server.address);
        println!("MAR is at {address} (Ctrl-C stops it)");
        if self.open {
            open::that(&address)?;
        }
        server.wait()
    }
}
