//! The models, and a list of them for the page.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::paths;
use crate::run::relative;

/// What a page needs to run a model.
const FILES: [&str; 6] = [
    "manifest.json",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "model.safetensors",
];

/// Copies what differs of `models/` to `dist/models/`, and writes `dist/models/index.json`.
pub fn copy() -> Result<()> {
    let (from, to) = (paths::root().join("models"), paths::dist().join("models"));
    let mut directories = fs::read_dir(&from)
        .context("cannot read models/")?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    directories.retain(|path| path.join("config.json").exists());
    directories.sort();
    let mut list = Vec::new();
    for model in &directories {
        let name = model.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let copy = to.join(&name);
        fs::create_dir_all(&copy)?;
        let mut bytes = 0;
        for file in FILES {
            bytes += copy_if_newer(&model.join(file), &copy.join(file))?;
        }
        list.push(json!({ "name": name, "bytes": bytes }));
    }
    fs::write(to.join("index.json"), format!("{:#}\n", Value::from(list))).context("cannot write models/index.json")
}

/// Copies a file unless the copy has its size and is no older; returns the size.
fn copy_if_newer(from: &Path, to: &Path) -> Result<u64> {
    let context = || format!("cannot copy {}", from.display());
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
