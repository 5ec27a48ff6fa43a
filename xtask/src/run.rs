//! Steps: what is done is printed before, and its time after.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::paths;

/// Does something that takes a while: says `what` it is, and how long it took.
pub fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("== {what}");
    let start = Instant::now();
    let done = work().with_context(|| format!("{what}: failed"))?;
    println!("== {what}: {:.1} s", start.elapsed().as_secs_f64());
    Ok(done)
}

/// A command in the repository's root.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(paths::root());
    command
}

/// cargo, with these arguments.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}

/// Runs a command to its end; its output is the person's to read.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", line(command)))?;
    if status.success() { Ok(()) } else { bail!("{} ended with {status}", line(command)) }
}

/// Runs a command; what it printed, if it could be run and ended well. What it complains of is not shown.
pub fn output(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The path of a program that may be installed.
pub fn which(name: &str) -> Option<PathBuf> {
    let found = |folder: PathBuf| {
        [folder.join(name), folder.join(format!("{name}.exe")), folder.join(format!("{name}.cmd"))]
            .into_iter()
            .find(|file| file.is_file())
    };
    std::env::split_paths(&std::env::var_os("PATH")?).find_map(found)
}

/// The command as a person would type it.
fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    line.replace(&format!("{}{}", paths::root().display(), std::path::MAIN_SEPARATOR), "")
}

/// `path` as seen from the root, for messages.
pub fn relative(path: &Path) -> std::path::Display<'_> {
    path.strip_prefix(paths::root()).unwrap_or(path).display()
}
