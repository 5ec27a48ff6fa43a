//! The virtual environment of the trainer.

use anyhow::{Result, bail};

use crate::fresh::Product;
use crate::paths;
use crate::run::{command, output, run, step, which};

/// Makes `.venv` and installs the trainer into it, if what it depends on has changed.
pub fn environment() -> Result<()> {
    let product = Product::new("python", &["training/pyproject.toml", "training/constraints.txt"], "")?;
    if product.is_fresh(&[&paths::python_bin("ruff"), &paths::python_bin("pytest")]) {
        return Ok(());
    }
    let Some(python) = ["python3", "python"].into_iter().find_map(which) else {
        bail!("there is no Python; install Python 3.11 or newer");
    };
    let newer = output(command(&python).args(["-c", "import sys; print(sys.version_info >= (3, 11))"]));
    if newer.as_deref() != Some("True") {
        bail!("{} is too old; install Python 3.11 or newer", python.display());
    }
    step("install the trainer into .venv", || {
        run(command(&python).args(["-m", "venv", ".venv"]))?;
        let mut pip = command(paths::python_bin("python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        run(pip.args(["-e", "training[dev]", "-c", "training/constraints.txt"]))
    })?;
    product.made()
}
