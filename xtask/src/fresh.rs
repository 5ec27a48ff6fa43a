//! Whether something was made from the files that are there now.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::paths;

/// Folders that are made, never made from.
const GENERATED: [&str; 5] = ["node_modules", "pkg", "target", "__pycache__", "dist"];

/// Something made from `inputs` (files, and folders with all in them).
pub struct Product {
    stamp: PathBuf,
    hash: String,
}

impl Product {
    /// Looks at the inputs, paths from the repository's root. `extra` counts like one more input.
    pub fn new(name: &str, inputs: &[&str], extra: &str) -> Result<Self> {
        let mut hasher = DefaultHasher::new();
        extra.hash(&mut hasher);
        for input in inputs {
            hash(&paths::root().join(input), &mut hasher)?;
        }
        let stamp = paths::scratch().join(format!("{name}.stamp"));
        Ok(Self { stamp, hash: format!("{:016x}", hasher.finish()) })
    }

    /// Whether all of `outputs` are there and were made from these inputs. If not, they will be made: an end before
    /// [`Product::made`] leaves them stale.
    pub fn is_fresh(&self, outputs: &[&Path]) -> bool {
        let fresh = outputs.iter().all(|path| path.exists())
            && fs::read_to_string(&self.stamp).is_ok_and(|stamp| stamp == self.hash);
        if !fresh {
            // Without a stamp it is stale already.
            let _ = fs::remove_file(&self.stamp);
        }
        fresh
    }

    /// Says that it has just been made.
    pub fn made(&self) -> Result<()> {
        fs::create_dir_all(paths::scratch())?;
        fs::write(&self.stamp, &self.hash).with_context(|| format!("cannot write {}", self.stamp.display()))
    }
}

fn hash(path: &Path, hasher: &mut DefaultHasher) -> Result<()> {
    let context = || format!("cannot read {}", path.display());
    if !path.is_dir() {
        path.hash(hasher);
        fs::read(path).with_context(context)?.hash(hasher);
        return Ok(());
    }
    let mut entries = fs::read_dir(path)
        .with_context(context)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .with_context(context)?;
    entries.sort();
    for entry in entries {
        let made = entry.file_name().is_some_and(|name| GENERATED.iter().any(|generated| name == *generated));
        if !made {
            hash(&entry, hasher)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_and_names_count_and_generated_folders_do_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |file: &str, text: &str| {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("a file");
        };
        let state = || {
            let mut hasher = DefaultHasher::new();
            hash(folder.path(), &mut hasher).expect("readable");
            hasher.finish()
        };
        write("src/a.ts", "one");
        let first = state();
        write("node_modules/x/index.js", "one");
        write("src/a.ts", "one");
        assert_eq!(state(), first);
        write("src/a.ts", "two");
        let second = state();
        assert_ne!(second, first);
        write("src/b.ts", "");
        assert_ne!(state(), second);
    }

    #[test]
    fn a_product_is_fresh_until_its_inputs_change() {
        let made = Product::new("test-of-fresh", &["xtask/Cargo.toml"], "").expect("readable");
        made.made().expect("writable");
        assert!(made.is_fresh(&[paths::root()]));
        assert!(!made.is_fresh(&[&paths::root().join("no-such-output")]));
        assert!(!made.is_fresh(&[paths::root()]), "it was to be made again, and was not");
        made.made().expect("writable");
        assert!(!Product::new("test-of-fresh", &["xtask/Cargo.toml"], "other").expect("readable").is_fresh(&[]));
        assert!(Product::new("test-of-fresh", &["no-such-input"], "").is_err());
    }
}
