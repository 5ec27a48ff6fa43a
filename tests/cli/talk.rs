//! `mar chat` and `mar generate`.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::{chatty, feed, json_of, mar, path, refused, run};

const SMALLTALK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/mar-smalltalk");

/// A chat of three turns on `backend`; what the person says stands behind "> ".
fn three_turns(backend: &str, more: &[&str]) -> (String, String) {
    let arguments = ["chat", SMALLTALK, "--backend", backend, "--temperature", "0", "--max-tokens", "12"];
    feed(mar(&arguments).args(more), b"Hello!\nWhat is the capital of France?\nThank you.\n")
}

#[test]
fn three_turns_are_one_chat() {
    let (out, err) = three_turns("cpu", &[]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 6, "{out}");
    assert_eq!([lines[0], lines[2], lines[4]], ["> Hello!", "> What is the capital of France?", "> Thank you."]);
    assert!(err.starts_with("running on the CPU: "), "{err}");
    // Each answer is that of `mar generate` to the whole chat so far.
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("chat.json");
    let mut messages: Vec<Value> = Vec::new();
    for turn in lines.chunks(2) {
        messages.push(json!({"role": "user", "content": turn[0].strip_prefix("> ")}));
        fs::write(&file, Value::from(messages.clone()).to_string()).expect("a file");
        let whole = ["generate", SMALLTALK, "--backend", "cpu", "--temperature", "0", "--max-tokens", "12", "--json"];
        let (answer, _) = run(mar(&whole).args(["--messages", path(&file)]));
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer["text"].as_str().map(str::trim_end), Some(turn[1].trim_end()), "{messages:?}");
        messages.push(json!({"role": "assistant", "content": answer["text"]}));
    }
}

#[test]
fn backends_say_the_same() {
    let (cpu, _) = three_turns("cpu", &[]);
    assert_eq!(three_turns("reference", &[]).0, cpu);
    let (gpu, err) = three_turns("gpu", &[]);
    assert_eq!(gpu, cpu);
    // A driver may have said something before.
    assert!(err.contains("running on the GPU: "), "{err}");
}

/// Bursts are of 1, 2, 4, … tokens: after 6 one more has been computed that nobody has seen. The second loss comes in the
/// last turn.
#[test]
fn a_chat_survives_the_loss_of_its_gpu() {
    let (right, _) = three_turns("cpu", &[]);
    let (out, err) = three_turns("gpu", &["--lose-gpu-after", "6,28"]);
    assert_eq!(out, right);
    let told: Vec<&str> = err.lines().filter(|line| line.starts_with("the GPU was lost")).collect();
    assert_eq!(told.len(), 2, "{err}");
    assert!(told[0].contains("; the chat goes on with the GPU, opened anew: "), "{err}");
    assert!(told[1].contains("; the chat goes on with the CPU: "), "{err}");
    // Lost behind the last token of a reply: it is whole, and the next turn goes on.
    let (out, err) = three_turns("gpu", &["--lose-gpu-after", "13"]);
    assert_eq!(out, right);
    assert!(err.contains("the reply is whole, but its end could not be kept: the GPU was lost"), "{err}");
    assert!(err.contains("; the chat goes on with the GPU, opened anew: "), "{err}");
}

#[test]
fn bytes_that_are_no_text_and_empty_lines_do_no_harm() {
    let model = chatty("tiny-window");
    let arguments = ["chat", path(model.path()), "--backend", "cpu", "--temperature", "0", "--stats"];
    let (out, err) = feed(&mut mar(&arguments), b"\n   \nab \xff\xfe\xe4 c\n\ncd");
    let said: Vec<&str> = out.lines().filter(|line| line.starts_with("> ")).collect();
    assert_eq!(said, ["> ab \u{fffd}\u{fffd}\u{fffd} c", "> cd"]);
    // Two turns, each with what it is estimated to have cost.
    let stats: Vec<&str> = err.lines().filter(|line| line.contains("tokens/s; estimates on 45 nm")).collect();
    assert_eq!(stats.len(), 2, "{err}");
    // Each of the six estimates has its unit.
    for line in stats {
        let shown = |unit: &str| line.matches(&format!(" {unit}")).count();
        assert_eq!(["pJ", "nJ", "µJ", "mJ"].map(shown).iter().sum::<usize>(), 6, "{line}");
    }
    // Nothing said is nothing answered.
    assert_eq!(feed(&mut mar(&arguments), b"").0, "");
    assert_eq!(feed(&mut mar(&arguments), b"\n\n").0, "");
}

#[test]
fn generate_answers_as_the_contract_says() {
    let model = chatty("tiny-window");
    let arguments = |prompt, seed| {
        let place = path(model.path());
        ["generate", place, "--backend", "cpu", "--json", "--temperature", "1", "--prompt", prompt, "--seed", seed]
            .map(str::to_owned)
    };
    let answer = |prompt, seed| {
        let arguments = arguments(prompt, seed);
        json_of(&arguments.each_ref().map(String::as_str))
    };
    let first = answer("hi there", "1");
    assert_eq!(answer("hi there", "1")["tokens"], first["tokens"], "the same seed");
    let others = ["2", "3", "4"].map(|seed| answer("hi there", seed)["tokens"].clone());
    assert!(others.iter().any(|tokens| *tokens != first["tokens"]), "other seeds");
    // The header of the person's turn, eight letters, its end, and the header of the reply.
    assert_eq!(first["stats"]["prompt_tokens"], 11);
    assert!(["stop", "length"].contains(&first["finish_reason"].as_str().expect("a reason")));
    for (group, names) in [
        (
            "stats",
            &["prefill_tokens_per_second", "decode_tokens_per_second", "time_to_first_token_ms", "state_bytes"][..],
        ),
        ("ledger", &["spikes", "ac", "mac", "bytes"]),
    ] {
        for name in names {
            assert!(first[group][name].as_f64().is_some_and(|x| x > 0.0), "{group}.{name}: {first}");
        }
    }
    let energy = |name: &str| first["ledger"]["energy_pj"][name].as_f64().expect("a number");
    for name in ["arithmetic", "dense_twin", "transformer"] {
        let with_memory = if name == "arithmetic" { "with_memory".into() } else { format!("{name}_with_memory") };
        assert!(0.0 < energy(name) && energy(name) < energy(&with_memory), "{name}: {first}");
    }
    let peak = &first["stats"]["peak_memory_bytes"];
    if cfg!(target_os = "linux") {
        // The program alone is larger than a MB, and the model is tiny.
        assert!(peak.as_u64().is_some_and(|bytes| (1 << 20..1 << 32).contains(&bytes)), "{first}");
    } else {
        assert!(peak.is_null(), "{first}");
    }
    // An empty prompt is a turn in which nothing is said.
    assert_eq!(answer("", "1")["stats"]["prompt_tokens"], 3);
    // Without --json there is the text alone.
    let place = path(model.path());
    let plain = ["generate", place, "--backend", "cpu", "--temperature", "1", "--prompt", "hi there", "--seed", "1"];
    assert_eq!(run(&mut mar(&plain)).0, format!("{}\n", first["text"].as_str().expect("a text")));
}

#[test]
fn what_cannot_be_done_is_a_sentence() {
    let model = chatty("tiny-odd");
    let place = path(model.path());
    assert!(refused(&["generate", "/nowhere", "--prompt", "x"]).contains("cannot read /nowhere"));
    let hot = refused(&["generate", place, "--backend", "cpu", "--prompt", "x", "--temperature", "200"]);
    assert_eq!(hot, "temperature is 200, but must be from 0 to 100");
    let chat = model.path().join("chat.json");
    fs::write(&chat, "[{\"role\": \"robot\", \"content\": \"x\"}]").expect("a file");
    let error = refused(&["generate", place, "--backend", "cpu", "--messages", path(&chat)]);
    assert!(error.contains("chat.json is not a chat: unknown variant `robot`"), "{error}");
    fs::remove_file(model.path().join("tokenizer.json")).expect("removed");
    let error = refused(&["chat", place, "--backend", "cpu"]);
    assert!(error.contains("tokenizer.json"), "{error}");
    // What clap refuses has clap's exit code.
    let output = mar(&["generate", place]).output().expect("mar runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(Path::new(place).exists());
}
