//! Development chores: `cargo xtask tidy` holds what the compiler does not.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a program for developers that talks to its terminal")]

mod links;
mod sizes;
mod tree;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    let command = std::env::args().nth(1).unwrap_or_default();
    match command.as_str() {
        "tidy" => tidy(),
        _ => bail!("usage: cargo xtask tidy"),
    }
}

fn tidy() -> Result<()> {
    let root = root()?;
    let mut complaints = Vec::new();
    tree::check(&root, &mut complaints)?;
    sizes::check(&root, &mut complaints)?;
    links::check(&root, &mut complaints)?;
    if complaints.is_empty() {
        println!("tidy");
        return Ok(());
    }
    for complaint in &complaints {
        println!("{complaint}");
    }
    bail!("{} things are not tidy", complaints.len())
}

fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.parent().and_then(Path::parent).context("the workspace's folder")?;
    Ok(root.to_owned())
}

/// All files under `folder` whose name ends with `suffix`, build output left out.
fn files(folder: &Path, suffix: &str, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(folder);
    for entry in entries.with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && name != "out" && name != "data" && !name.starts_with('.') {
                files(&path, suffix, found)?;
            }
        } else if name.ends_with(suffix) {
            found.push(path);
        }
    }
    found.sort();
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}
