//! `cargo xtask`: everything that is done with this repository, one file a subcommand.

mod bench;
mod build;
mod fresh;
mod lint;
mod paths;
mod preview;
mod run;
mod serve;
mod server;
mod setup;
mod soak;
mod supply;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Set up, build, serve, test and measure MAR. Every command does what it needs of the earlier ones.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what building and testing need: WebAssembly's standard library, Node and Python packages, a browser
    Setup,
    /// Build the page into dist/, and print and check its size
    Build,
    /// Build the page if it is stale, and serve it
    Serve(serve::Serve),
    /// Run every test, and stop at the first that fails
    Test(test::Test),
    /// Chat at random in a browser, with faults of every kind, and check that nothing is lost
    Soak(soak::Soak),
    /// Measure speed, natively and in a browser; writes no file of the repository
    Bench(bench::Bench),
    /// Take the picture of README and of links to the page anew
    Preview,
    /// Check formatting, lints, types, documentation, and where dependencies come from
    Lint,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Setup => setup::all(),
        Command::Build => build::page().map(|_| ()),
        Command::Serve(serve) => serve.run(),
        Command::Test(test) => test.run(),
        Command::Soak(soak) => soak.run(),
        Command::Bench(bench) => bench.run(),
        Command::Preview => preview::take(),
        Command::Lint => lint::all(),
    }
}
