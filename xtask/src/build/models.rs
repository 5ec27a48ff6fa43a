//! The models, and a list of them for the page.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::paths;
use crate::run::relative;

/// Where the list of models is, and what it is called.
const INDEX: &str = "index.json";

/// Lists a model's other files.
const MANIFEST: &str = "manifest.json";

/// What is stated of a model and was measured of it.
const METRICS: &str = "metrics.json";

/// Of it, what the page shows (`www/src/page/metrics.ts`), where it is there.
const SHOWN: [&str; 12] = [
    "licence",
    "teacher",
    "description",
    "parameters",
    "firing_rate",
    "active",
    "energy_pj_per_token",
    "dense_val_loss",
    "spiking_val_loss",
    "teacher_kl",
    "teacher_top1_agreement",
    "retention_above_chance",
];

/// Makes `dist/models/` what `models/` is: the files that manifests list, and a list of the models.
pub fn copy() -> Result<()> {
    mirror(&paths::root().join("models"), &paths::dist().join("models"))
}

/// Copies what differs, removes what is no longer there, and writes the list: each model's name, the bytes of its files, the
/// hash of its manifest, without which the page takes no model of this name, and what it says of itself. The smallest is the first.
fn mirror(from: &Path, to: &Path) -> Result<()> {
    let mut directories = entries(from)?;
    directories.retain(|path| path.join("config.json").exists());
    directories.sort();
    let (mut list, mut keep) = (Vec::new(), HashSet::from([OsString::from(INDEX)]));
    for model in &directories {
        let name = model.file_name().unwrap_or_default();
        let bytes = mirror_model(model, &to.join(name))?;
        let manifest = fs::read(model.join(MANIFEST)).with_context(|| format!("cannot read {}", relative(model)))?;
        let metrics = shown(&model.join(METRICS))?;
        list.push(
            json!({ "name": name.to_string_lossy(), "bytes": bytes, "sha256": sha256(&manifest), "metrics": metrics }),
        );
        keep.insert(name.into());
    }
    // The page begins with the first: nobody waits for a large one unasked.
    list.sort_by_key(|entry| entry["bytes"].as_u64());
    fs::create_dir_all(to)?;
    remove_others(to, &keep)?;
    fs::write(to.join(INDEX), format!("{:#}\n", Value::from(list))).context("cannot write models/index.json")
}

/// What the page shows of a model's `metrics.json`, under the same keys; nothing where there is none.
fn shown(metrics: &Path) -> Result<Map<String, Value>> {
    if !metrics.exists() {
        return Ok(Map::new());
    }
    let context = || format!("cannot read {}; export the model again", relative(metrics));
    let mut all: Map<String, Value> =
        serde_json::from_slice(&fs::read(metrics).with_context(context)?).with_context(context)?;
    let known = SHOWN.iter().filter_map(|&key| Some((key.to_owned(), all.remove(key)?)));
    Ok(known.map(|(key, value)| (key, without_places(value))).collect())
}

/// A figure without its values for each layer and site, which make the list long.
fn without_places(mut value: Value) -> Value {
    if let Some(figure) = value.as_object_mut() {
        figure.retain(|part, _| !part.starts_with("per_"));
    }
    value
}

/// Copies what differs of a model, and removes what its manifest does not list; returns the bytes of all its files.
fn mirror_model(from: &Path, to: &Path) -> Result<u64> {
    fs::create_dir_all(to)?;
    let files = listed(&from.join(MANIFEST))?;
    let mut bytes = 0;
    for file in &files {
        bytes += copy_if_newer(&from.join(file), &to.join(file))?;
    }
    remove_others(to, &files.iter().map(OsString::from).collect())?;
    Ok(bytes)
}

/// In hexadecimal digits.
fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The names of a model's files, the manifest's own among them.
fn listed(manifest: &Path) -> Result<Vec<String>> {
    let context = || format!("cannot read {}; export the model again", relative(manifest));
    let json: Value = serde_json::from_slice(&fs::read(manifest).with_context(context)?).with_context(context)?;
    let paths = json["files"].as_array().into_iter().flatten().map(|file| file["path"].as_str().map(str::to_owned));
    let mut names = paths.collect::<Option<Vec<_>>>().with_context(context)?;
    names.push(MANIFEST.into());
    Ok(names)
}

/// Copies a file unless the copy has its size and is no older; returns the size.
fn copy_if_newer(from: &Path, to: &Path) -> Result<u64> {
    let context = || format!("cannot copy {}", relative(from));
    let source = fs::metadata(from).with_context(context)?;
    let newer = |copy: fs::Metadata| -> std::io::Result<bool> { Ok(source.modified()? > copy.modified()?) };
    let stale = match fs::metadata(to) {
        Ok(copy) => copy.len() != source.len() || newer(copy)?,
        Err(_) => true,
    };
    if stale {
        println!("   copy {} to dist/", relative(from));
        fs::copy(from, to).with_context(context)?;
    }
    Ok(source.len())
}

/// Removes everything in `folder` but what is named in `keep`.
fn remove_others(folder: &Path, keep: &HashSet<OsString>) -> Result<()> {
    for path in entries(folder)? {
        if path.file_name().is_some_and(|name| keep.contains(name)) {
            continue;
        }
        println!("   remove {}", relative(&path));
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.with_context(|| format!("cannot remove {}", relative(&path)))?;
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let context = || format!("cannot read {}", relative(folder));
    let entries = fs::read_dir(folder).with_context(context)?;
    entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().with_context(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model's folder with these files and their manifest.
    fn write(folder: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(folder).expect("a folder");
        let listed: Vec<_> = files.iter().map(|(name, _)| json!({ "path": name })).collect();
        fs::write(folder.join(MANIFEST), json!({ "files": listed }).to_string()).expect("a manifest");
        files.iter().for_each(|(name, text)| fs::write(folder.join(name), text).expect("a file"));
    }

    fn names(folder: &Path) -> Vec<String> {
        let name = |path: PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
        let mut names: Vec<_> = entries(folder).expect("readable").into_iter().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn the_copy_is_what_manifests_list_and_no_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let (from, to) = (folder.path().join("models"), folder.path().join("dist/models"));
        let model = from.join("one");
        write(&model, &[("config.json", "{}"), ("model.safetensors", "0123456789")]);
        write(&from.join("two"), &[("config.json", "{}")]);
        fs::write(from.join("FORMAT.md"), "of no model").expect("a file");
        mirror(&from, &to).expect("copied");
        assert_eq!(names(&to), ["index.json", "one", "two"]);
        assert_eq!(names(&to.join("one")), ["config.json", "manifest.json", "model.safetensors"]);

        // The weights lie in pieces now, and something lies beside them that is not for the page.
        fs::remove_file(model.join("model.safetensors")).expect("removed");
        let (a, b) = ("model.safetensors.00", "model.safetensors.01");
        let metrics =
            r#"{"licence": "MIT", "parameters": 10, "firing_rate": {"mean": 0.5, "per_layer": [[0.5]]}, "tasks": {}}"#;
        write(&model, &[("config.json", "{}"), ("metrics.json", metrics), (a, "01234567"), (b, "89")]);
        fs::write(model.join("notes.txt"), "secret").expect("a file");
        fs::remove_dir_all(from.join("two")).expect("removed");
        mirror(&from, &to).expect("copied");
        assert_eq!(names(&to), ["index.json", "one"]);
        assert_eq!(names(&to.join("one")), ["config.json", "manifest.json", "metrics.json", a, b]);
        let index: Value = serde_json::from_slice(&fs::read(to.join(INDEX)).expect("a list")).expect("JSON");
        let manifest = fs::read(model.join(MANIFEST)).expect("a manifest");
        let pin = sha256(&manifest);
        let bytes = 12 + metrics.len() + manifest.len();
        let shown = json!({ "licence": "MIT", "parameters": 10, "firing_rate": { "mean": 0.5 } });
        assert_eq!(index, json!([{ "name": "one", "bytes": bytes, "sha256": pin, "metrics": shown }]));
    }

    #[test]
    fn the_models_of_this_repository_state_a_licence_and_what_was_measured() {
        for model in ["mar-smalltalk", "mar-smollm2-135m"] {
            let metrics = shown(&paths::root().join("models").join(model).join(METRICS)).expect("readable");
            assert!(metrics["licence"].as_str().is_some_and(|text| text.contains("Apache-2.0")), "{model}");
            assert_eq!(metrics["firing_rate"].as_object().map(Map::len), Some(1), "{model}");
            let refined = model == "mar-smollm2-135m";
            assert_eq!(metrics.contains_key("teacher"), refined, "{model}");
            assert!(!refined || SHOWN.iter().all(|&key| metrics.contains_key(key)), "{model}");
        }
        let folder = tempfile::tempdir().expect("a folder");
        assert!(shown(&folder.path().join(METRICS)).expect("none").is_empty());
        let broken = folder.path().join(METRICS);
        fs::write(&broken, "[]").expect("a file");
        let error = shown(&broken).expect_err("refused").to_string();
        assert!(error.ends_with("metrics.json; export the model again"), "{error}");
    }

    #[test]
    fn a_file_that_is_listed_must_be_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let (from, to) = (folder.path().join("models"), folder.path().join("dist"));
        write(&from.join("one"), &[("config.json", "{}"), ("model.safetensors.00", "0")]);
        fs::remove_file(from.join("one/model.safetensors.00")).expect("removed");
        let error = mirror(&from, &to).expect_err("refused").to_string();
        assert!(error.starts_with("cannot copy ") && error.ends_with("model.safetensors.00"), "{error}");
        fs::write(from.join("one").join(MANIFEST), "[").expect("a file");
        let error = mirror(&from, &to).expect_err("refused").to_string();
        assert!(error.contains("manifest.json; export the model again"), "{error}");
    }
}
