//! Running the command, and a tiny model that can chat.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Special tokens of the tiny model, in the order of their numbers.
const SPECIAL: [&str; 5] = ["<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"];

/// `mar`, with these arguments.
pub fn mar(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mar"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// What a command brings that must end well: (standard output, standard error).
pub fn run(command: &mut Command) -> (String, String) {
    finish(command.output().expect("mar runs"))
}

/// As [`run`], with `input` on standard input.
pub fn feed(command: &mut Command, input: &[u8]) -> (String, String) {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("mar runs");
    child.stdin.take().expect("a pipe").write_all(input).expect("mar reads");
    finish(child.wait_with_output().expect("mar ends"))
}

fn finish(output: Output) -> (String, String) {
    let text = |bytes| String::from_utf8(bytes).expect("mar writes UTF-8");
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    (out, err)
}

/// The sentence on standard error of a command that must fail with exit code 1 and print nothing else.
pub fn refused(arguments: &[&str]) -> String {
    let output = mar(arguments).output().expect("mar runs");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{arguments:?}");
    let error = String::from_utf8(output.stderr).expect("mar writes UTF-8");
    let last = error.lines().last().unwrap_or_default();
    last.strip_prefix("mar: ").unwrap_or_else(|| panic!("{error}")).to_owned()
}

/// A JSON value that a command prints, and nothing beside it.
pub fn json_of(arguments: &[&str]) -> Value {
    let (out, _) = run(&mut mar(arguments));
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

/// The golden model `name` with a tokenizer of one token a character, and the chat template of mar-smalltalk. Without its
/// manifest, which does not list those.
pub fn chatty(name: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["config.json", "model.safetensors"] {
        fs::copy(root.join("tests/golden/models").join(name).join(file), folder.path().join(file)).expect("a copy");
    }
    fs::copy(root.join("models/mar-smalltalk/tokenizer_config.json"), folder.path().join("tokenizer_config.json"))
        .expect("a copy");
    let write = |file: &str, value: &Value| fs::write(folder.path().join(file), value.to_string()).expect("a file");
    write("tokenizer.json", &tokenizer());
    write("generation_config.json", &json!({"eos_token_id": [4, 0], "max_new_tokens": 12}));
    folder
}

/// One token for each of some characters.
fn tokenizer() -> Value {
    let added: Vec<Value> = SPECIAL
        .iter()
        .enumerate()
        .map(|(id, content)| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                   "normalized": false, "special": true})
        })
        .collect();
    let characters = ('a'..='z').chain(" .,?!é\u{fffd}".chars()).map(String::from);
    let texts = SPECIAL.map(String::from).into_iter().chain(["<unk>".into()]).chain(characters);
    let vocab: serde_json::Map<String, Value> = texts.enumerate().map(|(id, text)| (text, id.into())).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": {"type": "Fuse"},
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": []},
    })
}

/// The path of a folder, as an argument.
pub fn path(folder: &Path) -> &str {
    folder.to_str().expect("UTF-8")
}
