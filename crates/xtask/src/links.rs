//! Documents link to files that exist.

use std::path::Path;

use anyhow::Result;

use crate::{files, read};

/// Complains about relative links in documents that lead nowhere.
pub(crate) fn check(root: &Path, complaints: &mut Vec<String>) -> Result<()> {
    let mut documents = Vec::new();
    files(root, ".md", &mut documents)?;
    for path in documents {
        let folder = path.parent().unwrap_or(root);
        for (number, line) in read(&path)?.lines().enumerate() {
            for link in links(line) {
                let file = link.split('#').next().unwrap_or("");
                let elsewhere = link.contains("://") || link.starts_with("mailto:");
                if !elsewhere && !file.is_empty() && !folder.join(file).exists() {
                    let shown = path.strip_prefix(root).unwrap_or(&path).display();
                    complaints.push(format!("{shown}:{}: no such file: {file}", number + 1));
                }
            }
        }
    }
    Ok(())
}

/// The targets of `[text](target)` in a line.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}
