//! Whoever reads what a command writes may go at any moment: the command ends quietly.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::common::{chatty, mar, path};

const ODD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/models/tiny-odd");

/// A pipe that nobody reads.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// Runs a command with `input`; returns its exit status and what it wrote to standard error.
fn end(command: &mut Command, input: &[u8]) -> (Option<i32>, String) {
    let mut child = command.stdin(Stdio::piped()).spawn().expect("mar runs");
    // It may end before it has read all.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    let output = child.wait_with_output().expect("mar ends");
    (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
}

#[test]
fn a_closed_pipe_ends_every_command_quietly() {
    let model = chatty("tiny-window");
    let (place, out) = (path(model.path()), model.path().join("made"));
    let file = model.path().join("records.jsonl");
    std::fs::write(&file, "{\"text\": \"a few letters\"}\n").expect("a file");
    let generate = ["generate", place, "--backend", "cpu", "--prompt", "hi"];
    let eval = ["eval", place, path(&file), "--backend", "cpu"];
    let bench = ["bench", ODD, "--tokens", "1", "--prompts", "4"];
    let commands: [&[&str]; 14] = [
        &["chat", place, "--backend", "cpu", "--stats"],
        &generate,
        &[&generate[..], &["--json"]].concat(),
        &eval,
        &[&eval[..], &["--json"]].concat(),
        &["inspect", ODD],
        &["inspect", ODD, "--tensors"],
        &["inspect", ODD, "--verify"],
        &bench,
        &[&bench[..], &["--json"]].concat(),
        &[&bench[..], &["--products"]].concat(),
        &[&bench[..], &["--products", "--json"]].concat(),
        &["synth", "--config", "tiny", "--out", path(&out)],
        &["--help"],
    ];
    for arguments in commands {
        // Its own words, and where they go.
        let (status, error) = end(mar(arguments).stdout(closed()).stderr(Stdio::piped()), b"ab\ncd\n");
        assert_eq!(status, Some(0), "{arguments:?}: {error}");
        assert!(!error.contains("panicked") && !error.contains("mar: "), "{arguments:?}: {error}");
        // As in `mar … 2>&1 | true`.
        let (status, _) = end(mar(arguments).stdout(closed()).stderr(closed()), b"ab\ncd\n");
        assert_eq!(status, Some(0), "{arguments:?}, with standard error closed too");
    }
    // What fails still says so by its exit status.
    let (status, _) = end(mar(&["inspect", "/nowhere"]).stdout(closed()).stderr(closed()), b"");
    assert_eq!(status, Some(1));
}

/// A disk that is full is not a reader that has gone.
#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_an_error() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let (status, error) = end(mar(&["inspect", ODD]).stdout(full).stderr(Stdio::piped()), b"");
    assert_eq!(status, Some(1));
    assert!(error.starts_with("mar: ") && !error.contains("panicked"), "{error}");
}
