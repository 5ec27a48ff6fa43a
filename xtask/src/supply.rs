//! What is built in: where every dependency comes from, that a hash pins it, and its licence. cargo-deny and `npm audit`, which
//! know of more, run where they can.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::paths;
use crate::run::{cargo, command, output, run, step, which};

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";
const NPM: &str = "https://registry.npmjs.org/";

/// All of it.
pub fn check() -> Result<()> {
    step("licences and sources of dependencies", || {
        let allowed = allowed(&read("deny.toml")?)?;
        crates(&allowed)?;
        packages(&serde_json::from_str(&read("www/package-lock.json")?)?, &allowed)
    })?;
    if output(&mut cargo(&["deny", "--version"])).is_some() {
        step("cargo deny", || run(&mut cargo(&["deny", "--workspace", "check"])))?;
    } else {
        println!("== no cargo deny, so no look at RustSec's advisories: cargo install cargo-deny");
    }
    audit()
}

/// npm's own look at the packages that the page is made of. Without an answer there is nothing to fail for.
fn audit() -> Result<()> {
    let Some(npm) = which("npm") else {
        println!("== no npm audit: npm is not there");
        return Ok(());
    };
    let mut audit = command(npm);
    audit.args(["audit", "--omit=dev", "--json"]).current_dir(paths::www());
    let answer = audit.output().context("cannot run npm audit")?.stdout;
    let found = serde_json::from_slice::<Value>(&answer).ok();
    match found.as_ref().and_then(|found| found["metadata"]["vulnerabilities"]["total"].as_u64()) {
        Some(0) => println!("== npm audit: nothing known"),
        Some(count) => bail!("npm audit knows of {count} holes in the page's packages; see: npm audit --omit=dev"),
        None => println!("== no npm audit: its service does not answer"),
    }
    Ok(())
}

/// The licences that deny.toml allows.
fn allowed(deny: &str) -> Result<Vec<String>> {
    let (_, list) = deny.split_once("\nallow = [").context("deny.toml allows no licences")?;
    let (list, _) = list.split_once(']').context("deny.toml's list of licences has no end")?;
    Ok(list.split(',').map(|name| name.trim().trim_matches('"').to_owned()).filter(|name| !name.is_empty()).collect())
}

/// What Cargo.lock has.
fn crates(allowed: &[String]) -> Result<()> {
    let metadata =
        output(&mut cargo(&["metadata", "--format-version", "1", "--locked"])).context("cargo metadata fails")?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    for package in metadata["packages"].as_array().context("cargo metadata lists no packages")? {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(source) = package["source"].as_str() else { continue };
        ensure!(source == CRATES_IO, "{name} comes from {source}, expected crates.io");
        let licence = package["license"].as_str().unwrap_or_default();
        ensure!(permits(licence, allowed), "{name} has the licence {licence:?}, which deny.toml does not allow");
    }
    let lock = read("Cargo.lock")?;
    let (sources, hashes) = (lock.matches("\nsource = ").count(), lock.matches("\nchecksum = ").count());
    ensure!(sources == hashes, "Cargo.lock has {sources} packages of others, but {hashes} hashes");
    Ok(())
}

/// What package-lock.json has: hashes and sources of all, licences of what the page is made of.
fn packages(lock: &Value, allowed: &[String]) -> Result<()> {
    for (path, package) in lock["packages"].as_object().context("package-lock.json lists no packages")? {
        if path.is_empty() {
            continue;
        }
        // Without an address a package is asked of the registry by its name; what comes has to have the hash all the same.
        let resolved = package["resolved"].as_str().unwrap_or(NPM);
        ensure!(resolved.starts_with(NPM), "{path} comes from {resolved:?}, expected {NPM}");
        ensure!(package["integrity"].is_string(), "{path} has no hash in package-lock.json");
        let licence = package["license"].as_str().unwrap_or_default();
        let shipped = package["dev"] != Value::Bool(true);
        ensure!(
            !shipped || permits(licence, allowed),
            "{path} has the licence {licence:?}, which deny.toml does not allow"
        );
    }
    Ok(())
}

/// Whether an SPDX expression can be met with licences that are allowed.
fn permits(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let met = any(&mut words, allowed);
    met && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words, allowed: &[String]) -> bool {
    let mut met = all(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        met |= all(words, allowed);
    }
    met
}

fn all(words: &mut Words, allowed: &[String]) -> bool {
    let mut met = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut Words, allowed: &[String]) -> bool {
    match words.next() {
        Some("(") => any(words, allowed) & (words.next() == Some(")")),
        Some(name) => {
            let exception = words.next_if_eq(&"WITH").and_then(|_| words.next());
            let name = exception.map_or(name.to_owned(), |exception| format!("{name} WITH {exception}"));
            allowed.contains(&name)
        }
        None => false,
    }
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(paths::root().join(path)).with_context(|| format!("cannot read {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_are_read_as_spdx_writes_them() {
        let allowed = ["MIT", "ISC"].map(str::to_owned);
        for met in [
            "MIT",
            "MIT OR GPL-3.0",
            "MIT/Apache-2.0",
            "MIT AND ISC",
            "(GPL-3.0 OR MIT) AND ISC",
            "GPL-3.0 WITH X OR ISC",
        ] {
            assert!(permits(met, &allowed), "{met}");
        }
        for unmet in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND GPL-3.0", "MIT WITH X", "(MIT", "MIT ISC"] {
            assert!(!permits(unmet, &allowed), "{unmet}");
        }
    }

    #[test]
    fn foreign_and_unpinned_packages_are_refused() {
        let allowed = ["MIT".to_owned()];
        let good = serde_json::json!({ "resolved": format!("{NPM}a.tgz"), "integrity": "sha512-x", "license": "MIT" });
        let lock = |package: &Value| serde_json::json!({ "packages": { "": {}, "node_modules/a": package } });
        packages(&lock(&good), &allowed).expect("a good package");
        for (key, value, says) in [
            ("resolved", "https://evil.example/a.tgz".into(), "comes from"),
            ("integrity", Value::Null, "has no hash"),
            ("license", "GPL-3.0".into(), "which deny.toml does not allow"),
        ] {
            let mut bad = good.clone();
            bad[key] = value;
            let error = packages(&lock(&bad), &allowed).expect_err(says).to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn this_repository_keeps_the_rules() {
        let allowed = allowed(&read("deny.toml").expect("a file")).expect("licences");
        assert!(allowed.contains(&"MIT".to_owned()) && allowed.len() > 3);
        crates(&allowed).expect("good crates");
        packages(&serde_json::from_str(&read("www/package-lock.json").expect("a file")).expect("JSON"), &allowed)
            .expect("good packages");
    }
}
