//! A file holds one noun: it does not grow without end, and it is written in ASCII.

use std::path::Path;

use anyhow::Result;

use crate::{files, read};

/// Lines of a source file, its tests not counted.
const LINES_MAX: usize = 600;

/// Lines of tests beside the code; more of them move to a file of their own.
const TEST_LINES_MAX: usize = 220;

/// Complains about files that are too long or not in ASCII.
pub(crate) fn check(root: &Path, complaints: &mut Vec<String>) -> Result<()> {
    let mut sources = Vec::new();
    for folder in ["crates", "benches"] {
        files(&root.join(folder), ".rs", &mut sources)?;
    }
    for path in sources {
        let text = read(&path)?;
        let shown = path.strip_prefix(root).unwrap_or(&path).display();
        let code = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        let tests = text.lines().count() - code;
        let is_test_file = path.components().any(|part| part.as_os_str() == "tests")
            || path.file_name().is_some_and(|name| name == "tests.rs");
        if code > LINES_MAX && !is_test_file {
            complaints.push(format!("{shown}: {code} lines without tests, at most {LINES_MAX}"));
        }
        if tests > TEST_LINES_MAX {
            complaints.push(format!("{shown}: {tests} lines of tests, at most {TEST_LINES_MAX}"));
        }
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_ascii()) {
            complaints.push(format!("{shown}:{}: not ASCII: {line}", number + 1));
        }
    }
    Ok(())
}
