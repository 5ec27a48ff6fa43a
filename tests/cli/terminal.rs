//! What a person at a terminal sees besides the answer.

use std::fs;
use std::process::{Command, Stdio};

use crate::common::{chatty, mar, path};

/// What `mar` shows on a terminal; `None` where the program that plays one is missing.
fn on_a_terminal(command: &Command) -> Option<String> {
    let quoted = std::iter::once(command.get_program()).chain(command.get_args());
    let line: Vec<String> = quoted.map(|word| format!("'{}'", word.to_str().expect("UTF-8"))).collect();
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line.join(" "), "/dev/null"]);
    let Ok(output) = script.env("TERM", "xterm").stdin(Stdio::null()).output() else {
        println!("skipped: the program script (Debian: bsdutils) is missing");
        return None;
    };
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{shown}");
    Some(shown)
}

#[test]
fn a_long_prompt_has_a_bar_and_a_short_one_has_none() {
    let model = chatty("tiny-window");
    let place = path(model.path());
    let messages = model.path().join("messages.json");
    let say = |letters: usize| {
        let chat = format!("[{{\"role\": \"user\", \"content\": \"{}\"}}]", "ab".repeat(letters / 2));
        fs::write(&messages, chat).expect("a file");
        let file = path(&messages);
        let arguments = ["generate", place, "--backend", "reference", "--max-tokens", "1", "--messages", file];
        (on_a_terminal(&mar(&arguments)), mar(&arguments))
    };
    let (Some(short), _) = say(4) else { return };
    assert!(!short.contains("reading"), "{short}");
    let (Some(long), mut command) = say(60_000) else { return };
    assert!(long.contains("reading") && long.contains("/60003 tokens"), "{long}");
    // A file or a pipe gets no bar.
    let output = command.output().expect("mar runs");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("reading"));
}
