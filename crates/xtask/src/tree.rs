//! Which crate may use which: the dependencies point downwards only.

use std::path::Path;

use anyhow::Result;

use crate::read;

/// Each crate with the crates of ours that it may use, as ARCHITECTURE.md shows them.
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("expo", &["model"]),
    ("store", &["model"]),
    ("config", &["model"]),
    ("prometheus-tsdb", &["model"]),
    ("promql", &["store", "model"]),
    ("net", &["config", "model"]),
    ("discovery", &["net", "config", "model"]),
    ("scrape", &["expo", "store", "discovery", "net", "config", "model"]),
    ("remote", &["store", "net", "config", "model"]),
    ("receive", &["store", "model"]),
    ("testkit", &["model"]),
    ("counting", &[]),
    ("xtask", &[]),
];

/// Complains about every dependency that the table does not have. Tests may use more.
pub(crate) fn check(root: &Path, complaints: &mut Vec<String>) -> Result<()> {
    for (name, allowed) in MAY_USE {
        let manifest = root.join("crates").join(name).join("Cargo.toml");
        let mut in_dependencies = false;
        for line in read(&manifest)?.lines() {
            if line.starts_with('[') {
                in_dependencies = line.trim() == "[dependencies]";
            }
            let Some(used) = line.strip_prefix("narthex-").filter(|_| in_dependencies) else {
                continue;
            };
            let used = used.split(['.', ' ', '=']).next().unwrap_or("");
            if !allowed.contains(&used) {
                complaints.push(format!("crates/{name}/Cargo.toml: {name} may not use {used}"));
            }
        }
    }
    Ok(())
}
