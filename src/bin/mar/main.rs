//! `mar`: chat with a spiking language model, and look into it, from a terminal.
// They panic where the reader has gone; `output` has what does not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod chat;
mod eval;
mod generate;
mod inspect;
mod load;
mod output;
mod progress;
mod synth;
mod turn;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::output::note;

/// The last lines of `--help`.
const EXIT: &str = "Exit status: 0 when done, or when whoever read the output has closed it (mar … | head -1); \
1 when something cannot be done, which standard error says in a sentence; 2 when the command line is wrong.";

/// Run spiking language models: every spike counted, every picojoule estimated.
#[derive(Parser)]
#[command(version, after_help = EXIT)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Talk with a model.
    Chat(chat::Chat),
    /// Answer one prompt and stop.
    Generate(generate::Generate),
    /// Measure the loss of text under a model.
    Eval(eval::Eval),
    /// Measure speed, against firing rates and memory bandwidth.
    Bench(bench::Bench),
    /// Show what a model directory holds, and check it.
    Inspect(inspect::Inspect),
    /// Make a model with random weights, for benches and tests.
    Synth(synth::Synth),
}

/// What a command fails with: a sentence for the person.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Chat(chat) => chat.run(),
        Command::Generate(generate) => generate.run(),
        Command::Eval(eval) => eval.run(),
        Command::Bench(bench) => bench.run(),
        Command::Inspect(inspect) => inspect.run(),
        Command::Synth(synth) => synth.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has gone; there is nobody to tell.
        Err(failure) if is_broken_pipe(failure.as_ref()) => ExitCode::SUCCESS,
        Err(failure) => {
            note!("mar: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(failure: &(dyn std::error::Error + 'static)) -> bool {
    failure.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}
