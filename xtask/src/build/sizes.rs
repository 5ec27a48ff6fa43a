//! What a person downloads, and the limits on it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use brotli::enc::BrotliEncoderParams;

use crate::fresh::Product;
use crate::paths;
use crate::run::{relative, step};

/// The engine's limits in bytes, as it is and in brotli.
const WASM_LIMIT: (usize, usize) = (3_000_000, 800_000);

/// The page's scripts' limit in bytes, in brotli.
const SCRIPTS_LIMIT: usize = 150_000;

/// Prints the sizes of all files but the models, and fails where the engine or the scripts are too large.
pub fn check() -> Result<()> {
    let assets = paths::dist().join("assets");
    let inputs = ["dist/assets", "dist/index.html", "dist/mar.js", "dist/sw.js", "xtask/src/build/sizes.rs"];
    let product = Product::new("sizes", &inputs, "")?;
    if product.is_fresh(&[&assets]) {
        return Ok(());
    }
    step("measure dist/", || {
        let mut files = files(&assets)?;
        files.extend(["index.html", "mar.js", "sw.js"].map(|file| paths::dist().join(file)));
        println!("{:>10} {:>10}  file", "bytes", "brotli");
        let (mut total, mut scripts) = ((0, 0), 0);
        for file in &files {
            let size = size(file)?;
            total = (total.0 + size.0, total.1 + size.1);
            println!("{:>10} {:>10}  {}", size.0, size.1, relative(file));
            if file.extension().is_some_and(|e| e == "js") {
                scripts += size.1;
            }
            if file.extension().is_some_and(|e| e == "wasm") && (size.0 > WASM_LIMIT.0 || size.1 > WASM_LIMIT.1) {
                let (raw, brotli) = WASM_LIMIT;
                bail!("the engine is too large: at most {raw} bytes, and {brotli} in brotli");
            }
        }
        println!("{:>10} {:>10}  in all", total.0, total.1);
        if scripts > SCRIPTS_LIMIT {
            bail!("the scripts are too large: {scripts} bytes in brotli, at most {SCRIPTS_LIMIT}");
        }
        Ok(())
    })?;
    product.made()
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    files.sort();
    Ok(files)
}

/// (bytes, bytes in brotli at its best).
fn size(file: &Path) -> Result<(usize, usize)> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut small = Vec::new();
    brotli::BrotliCompress(&mut bytes.as_slice(), &mut small, &BrotliEncoderParams::default())?;
    Ok((bytes.len(), small.len()))
}
