//! Packages of the system, where this is Debian or one of its children and we may install.

use std::fs;

use anyhow::{Result, bail};

use crate::run::{command, output, run, step, which};

/// Installs Debian packages. Where that cannot be, `otherwise` says what the person can do.
pub fn apt_install(packages: &[&str], otherwise: &str) -> Result<()> {
    let Some(prefix) = apt_prefix() else { bail!("{otherwise}") };
    step(&format!("install {}", packages.join(" ")), || {
        let apt = |arguments: &[&str]| {
            let mut words = prefix.iter().chain(&["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]);
            let mut apt = command(words.next().copied().unwrap_or("apt-get"));
            apt.args(words).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
            run(&mut apt)
        };
        apt(&["update"])?;
        apt(&[["install", "-y", "--no-install-recommends"].as_slice(), packages].concat())
    })
}

/// What must stand before `apt-get`; `None` where it would not work.
fn apt_prefix() -> Option<Vec<&'static str>> {
    which("apt-get")?;
    if output(command("id").arg("-u"))? == "0" {
        return Some(Vec::new());
    }
    output(command("sudo").args(["-n", "true"])).map(|_| vec!["sudo", "-n"])
}

/// A Vulkan driver that computes on the CPU, for tests of the shaders on machines without a GPU. Says what there is.
pub fn software_vulkan() -> Result<String> {
    if !cfg!(target_os = "linux") {
        return Ok("not needed: this system brings a graphics interface of its own".into());
    }
    let driver = || {
        let drivers = fs::read_dir("/usr/share/vulkan/icd.d").ok()?;
        drivers.flatten().map(|entry| entry.path()).find(|path| path.to_string_lossy().contains("lvp_icd"))
    };
    if driver().is_none() {
        apt_install(
            &["mesa-vulkan-drivers", "libvulkan1"],
            "there is no software Vulkan driver; install Mesa's lavapipe (mesa-vulkan-drivers on Debian and Ubuntu)",
        )?;
    }
    match driver() {
        Some(path) => Ok(path.display().to_string()),
        None => bail!("mesa-vulkan-drivers is installed, but there is no lvp_icd file in /usr/share/vulkan/icd.d"),
    }
}
