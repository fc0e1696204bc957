//! File names with stars, as Go's `filepath.Glob` reads them, in the last element of a path.

use std::path::{Component, Path, PathBuf};
use std::{fs, io};

/// Most files that one pattern may name.
pub const FILES_MAX: usize = 10_000;

/// The files that `pattern` names, sorted. What is not there is not named; a pattern that is not
/// well-formed names nothing.
///
/// # Errors
/// If a folder that is there cannot be read, or if more than [`FILES_MAX`] files match.
pub fn files(pattern: &Path) -> io::Result<Vec<PathBuf>> {
    let Some(last) = pattern.file_name().and_then(|name| name.to_str()) else {
        return Ok(Vec::new());
    };
    if !last.contains(['*', '?', '[', '\\']) {
        return Ok(if pattern.exists() { vec![pattern.to_owned()] } else { Vec::new() });
    }
    let dir = pattern.parent().unwrap_or(Path::new(""));
    let read = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let entries = match fs::read_dir(read) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        if name.to_str().is_some_and(|name| matches(last, name)) {
            if found.len() == FILES_MAX {
                return Err(io::Error::other(format!("more than {FILES_MAX} files match")));
            }
            found.push(dir.join(name));
        }
    }
    found.sort();
    Ok(found)
}

/// `name` within `base`, without `.` and `..` where they can be worked out from the text alone.
pub fn join(base: &Path, name: &str) -> PathBuf {
    let mut out = PathBuf::new();
    for part in base.join(name).components() {
        let last = out.components().next_back();
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(last, Some(Component::Normal(_))) => {
                out.pop();
            }
            Component::ParentDir if matches!(last, Some(Component::RootDir)) => {}
            part => out.push(part),
        }
    }
    out
}

/// Whether `name` matches `pattern`: `*` any run of characters, `?` one, `[a-z]` and `[^a-z]` one
/// of a set, `\` takes the next as it is.
pub fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    // The last star seen and what it had taken: all that ever needs to be tried again.
    let mut star: Option<(usize, usize)> = None;
    let (mut p, mut n) = (0, 0);
    while n < name.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, n));
            p += 1;
            continue;
        }
        if let Some(next) = name.get(n).and_then(|&c| match_one(&pattern, p, c)) {
            p = next;
            n += 1;
            continue;
        }
        let Some((at, taken)) = star else { return false };
        star = Some((at, taken + 1));
        p = at + 1;
        n = taken + 1;
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|&c| c == '*'))
}

/// Where the pattern goes on after it has matched `c` at `p`.
fn match_one(pattern: &[char], p: usize, c: char) -> Option<usize> {
    match *pattern.get(p)? {
        '?' => Some(p + 1),
        '[' => match_set(pattern, p + 1, c),
        '\\' => (*pattern.get(p + 1)? == c).then_some(p + 2),
        own => (own == c).then_some(p + 1),
    }
}

fn match_set(pattern: &[char], mut p: usize, c: char) -> Option<usize> {
    let negated = pattern.get(p) == Some(&'^');
    p += usize::from(negated);
    let mut found = false;
    let mut first = true;
    loop {
        if pattern.get(p) == Some(&']') && !first {
            return (found != negated).then_some(p + 1);
        }
        first = false;
        let (low, next) = set_char(pattern, p)?;
        p = next;
        let mut high = low;
        if pattern.get(p) == Some(&'-') {
            (high, p) = set_char(pattern, p + 1)?;
        }
        found |= low <= c && c <= high;
    }
}

/// A member of a set; a bare `-` or `]` is not one.
fn set_char(pattern: &[char], p: usize) -> Option<(char, usize)> {
    match *pattern.get(p)? {
        '-' | ']' => None,
        '\\' => Some((*pattern.get(p + 1)?, p + 2)),
        c => Some((c, p + 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_go_does() {
        for (pattern, name, want) in [
            ("*.yml", "a.yml", true),
            ("*.yml", ".yml", true),
            ("*.yml", "a.yaml", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("?.json", "x.json", true),
            ("?.json", ".json", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("[]a]x", "]x", false),
            ("[a", "a", false),
            (r"\*x", "*x", true),
            (r"[\-x]", "-", true),
            ("a**", "a", true),
            ("*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(matches(pattern, name), want, "{pattern} {name}");
        }
    }

    #[test]
    fn joins_and_cleans() {
        for (base, name, want) in [
            ("", "x.yml", "x.yml"),
            ("/etc/p", "./t/../x.yml", "/etc/p/x.yml"),
            ("/etc/p", "/abs/x.yml", "/abs/x.yml"),
            ("conf", "../../x.yml", "../x.yml"),
            ("/", "../x.yml", "/x.yml"),
        ] {
            assert_eq!(join(Path::new(base), name), Path::new(want), "{base} {name}");
        }
    }
}
