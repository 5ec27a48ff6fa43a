//! `mar bench`.

use mar::cpu::Kernels;
use serde_json::Value;

use crate::common::{json_of, mar, refused, run};

const ODD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/models/tiny-odd");

fn number(row: &Value, name: &str) -> f64 {
    row[name].as_f64().unwrap_or_else(|| panic!("{name} is no number: {row}"))
}

fn rows(arguments: &[&str]) -> Vec<Value> {
    let list = json_of(&[&["bench", "--json"], arguments].concat());
    list.as_array().expect("a list").clone()
}

/// A machine's slowest kernels: every machine has them.
fn portable() -> &'static str {
    Kernels::all().last().expect("kernels").name
}

#[test]
fn bench_prints_one_list() {
    let rows = rows(&[ODD, "--tokens", "3", "--prompts", "5,9", "--reference"]);
    let names: Vec<&str> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
    let each = ["prefill 5", "prefill 9", "decode"];
    assert_eq!(names, [&each[..], &each, &["dense matvecs"]].concat());
    assert_eq!(rows[0]["backend"], "reference");
    for row in &rows {
        for name in ["active", "firing_rate", "tokens_per_second", "bytes_per_token", "bandwidth_fraction"] {
            assert!(number(row, name) > 0.0, "{name}: {row}");
        }
        assert!(row["backend"].is_string());
        assert!(row["asked"].is_null(), "its thresholds are its own: {row}");
        assert!(row["prefill_fit"].is_null(), "two lengths are on any line: {row}");
    }
}

#[test]
fn a_share_is_from_nothing_to_all() {
    for wrong in ["7", "-1", "nan", "much"] {
        for command in [&["bench"][..], &["synth", "--out", "nowhere"]] {
            let active = format!("--active={wrong}");
            let output = mar(command).args(["--config", "tiny", &active]).output().expect("mar runs");
            assert_eq!(output.status.code(), Some(2), "{command:?}, {wrong}");
            assert!(String::from_utf8_lossy(&output.stderr).contains("--active"), "{output:?}");
        }
    }
}

#[test]
fn rows_say_what_was_asked_and_what_fired() {
    let rows = rows(&["--config", "tiny", "--active", "0.1,0.5", "--tokens", "24", "--prompts", "64"]);
    let decode: Vec<&Value> = rows.iter().filter(|row| row["name"] == "decode").collect();
    assert_eq!(decode.len(), 2);
    for (row, asked) in decode.into_iter().zip([0.1, 0.5]) {
        assert_eq!(number(row, "asked"), asked);
        assert!((number(row, "active") / asked - 1.0).abs() < 0.2, "{row}");
    }
    // A prompt is another measurement.
    let prefill = rows.iter().find(|row| row["name"] == "prefill 64").expect("a prompt");
    assert_ne!(prefill["active"], rows[1]["active"]);
}

#[test]
fn a_line_is_fitted_through_prompts() {
    let rows = rows(&[ODD, "--tokens", "1", "--prompts", "16,64,32"]);
    let fits: Vec<&Value> = rows.iter().filter(|row| !row["prefill_fit"].is_null()).collect();
    assert_eq!(fits.len(), 1);
    assert_eq!(fits[0]["name"], "prefill 32");
    let fit = &fits[0]["prefill_fit"];
    // The rows hold what the line was fitted to.
    let off = |length: f64| {
        let row = rows.iter().find(|row| row["name"] == format!("prefill {length}")).expect("a row");
        let milliseconds = 1e3 * length / number(row, "tokens_per_second");
        (milliseconds - number(fit, "fixed_ms") - number(fit, "per_token_ms") * length).abs()
    };
    let largest = [16.0, 64.0, 32.0].map(off).into_iter().fold(0.0, f64::max);
    assert!((off(number(fit, "largest_residual_at")) - largest).abs() < 1e-9, "{fit}");
    assert!((number(fit, "largest_residual_ms") - largest).abs() < 1e-9, "{fit}");

    let (out, _) = run(&mut mar(&["bench", ODD, "--tokens", "1", "--prompts", "16,64,32"]));
    assert_eq!(out.lines().filter(|line| line.starts_with("  prefill of n tokens: t = ")).count(), 1, "{out}");
}

#[test]
fn kernels_are_chosen_by_name() {
    let all: Vec<&str> = Kernels::all().map(|kernels| kernels.name).collect();
    let rows = rows(&[ODD, "--tokens", "1", "--prompts", "4", "--kernels", &all.join(",")]);
    let backends: Vec<&str> = rows.iter().filter_map(|row| row["backend"].as_str()).collect();
    let pairs: Vec<&str> = all.iter().flat_map(|&name| [name, name]).chain([all[0]]).collect();
    assert_eq!(backends, pairs);

    let output = mar(&["bench", ODD, "--kernels", "mmx"]).output().expect("mar runs");
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(error.contains(&format!("'mmx' for '--kernels <NAMES>': this machine has {}", all.join(", "))), "{error}");
}

#[test]
fn products_are_timed_alone() {
    let arguments = ["--products", "--config", "tiny", "--active", "0.1,0.9", "--tokens", "2", "--kernels", portable()];
    let rows = rows(&arguments);
    assert_eq!(rows.len(), 2);
    for row in &rows {
        assert_eq!(row["kernels"], portable());
        for name in ["decode_events_ms", "decode_dense_ms", "prefill_events_ms", "prefill_dense_ms", "plain_matvec_ms"]
        {
            assert!(number(row, name) > 0.0, "{name}: {row}");
        }
    }
    assert!(number(&rows[0], "active") < number(&rows[1], "active"));
    let (out, _) = run(mar(&["bench"]).args(arguments));
    assert!(out.starts_with(&format!("{}: milliseconds for all projections of a token\n", portable())), "{out}");
    // Two rows, and whether each of three pairs of curves crosses.
    assert_eq!(out.lines().filter(|line| line.contains(" cross")).count(), 3, "{out}");
    assert_eq!(out.lines().count(), 2 + 2 + 3, "{out}");
}

#[test]
fn the_gpu_is_timed_too() {
    let arguments = ["bench", ODD, "--gpu", "--json", "--tokens", "3", "--prompts", "5"];
    let output = mar(&arguments).output().expect("mar runs");
    let error = String::from_utf8(output.stderr).expect("UTF-8");
    if error.contains("no GPU was found") {
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{error}");
        println!("skipped: there is no GPU, nor a program that plays one");
        return;
    }
    assert!(output.status.success(), "{error}");
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).expect("a list");
    let on_gpu: Vec<&Value> = rows.iter().filter(|row| row["backend"] == "gpu").collect();
    assert_eq!(on_gpu.len(), 2, "{rows:?}");
    // The same network fires the same, whatever runs it.
    for (gpu, cpu) in on_gpu.into_iter().zip(&rows) {
        assert_eq!(gpu["name"], cpu["name"]);
        assert!((number(gpu, "active") - number(cpu, "active")).abs() < 1e-3, "{gpu}, {cpu}");
    }
}

/// Vulkan's loader is told that there is no driver.
#[cfg(target_os = "linux")]
#[test]
fn no_gpu_is_said_before_anything_is_timed() {
    let mut command = mar(&["bench", ODD, "--gpu"]);
    let output = command.env("VK_DRIVER_FILES", "/nowhere").env("VK_ICD_FILENAMES", "/nowhere").output();
    let output = output.expect("mar runs");
    let error = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(error.contains("mar: no GPU was found"), "{error}");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{error}");
}

#[test]
fn what_cannot_be_timed_is_refused() {
    assert_eq!(mar(&["bench", ODD, "--tokens", "0"]).output().expect("mar runs").status.code(), Some(2));
    let error = refused(&["bench", ODD, "--json", "--tokens", "1", "--prompts", "0"]);
    assert_eq!(error, "the prompt is empty; give at least one token");
}

#[test]
fn what_watching_costs_is_timed_in_turns() {
    let rows = rows(&["--watch", "--config", "tiny", "--active", "0.3", "--tokens", "4", "--kernels", portable()]);
    let said: Vec<&str> = rows.iter().filter_map(|row| row["what"].as_str()).collect();
    assert_eq!(said[1..], ["nobody watches", "one site is watched", "all sites are watched"]);
    assert_eq!(number(&rows[1], "share"), 1.0);
    assert!(rows.iter().all(|row| number(row, "tokens_per_second") > 0.0), "{rows:?}");
}
