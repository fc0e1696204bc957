//! File name patterns as Go's `filepath.Glob` reads them: `*`, `?`, `[a-z]`, `\x`.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// Most files that one pattern may name.
const FILES_MAX: usize = 10_000;

/// The files below `base` that match `pattern`, sorted; a pattern without wildcards names the
/// file whether it is there or not.
pub fn expand(base: &Path, pattern: &str) -> Vec<PathBuf> {
    let pattern = Path::new(pattern);
    let mut found = vec![if pattern.is_absolute() { PathBuf::new() } else { base.to_path_buf() }];
    for component in pattern.components() {
        let Component::Normal(name) = component else {
            push(&mut found, component.as_ref());
            continue;
        };
        let name = name.to_string_lossy();
        if !name.contains(['*', '?', '[', '\\']) {
            push(&mut found, Path::new(name.as_ref()));
            continue;
        }
        found = found.iter().flat_map(|folder| matches_in(folder, &name)).collect();
        found.truncate(FILES_MAX);
    }
    found
}

fn push(paths: &mut [PathBuf], component: &Path) {
    for path in paths {
        path.push(component);
    }
}

fn matches_in(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let pattern: Vec<char> = pattern.chars().collect();
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| matches(&pattern, &name.chars().collect::<Vec<_>>()))
        .collect();
    names.sort_unstable();
    names.into_iter().map(|name| folder.join(name)).collect()
}

fn matches(pattern: &[char], name: &[char]) -> bool {
    match pattern {
        [] => name.is_empty(),
        ['*', rest @ ..] => {
            (0..=name.len()).any(|skip| matches(rest, name.get(skip..).unwrap_or(&[])))
        }
        ['[', rest @ ..] => {
            let Some((c, tail)) = name.split_first() else { return false };
            let Some(end) = rest.iter().skip(1).position(|c| *c == ']') else { return false };
            let (class, rest) = rest.split_at(end + 1);
            in_class(class, *c) && matches(rest.get(1..).unwrap_or(&[]), tail)
        }
        ['?', rest @ ..] => name.split_first().is_some_and(|(_, tail)| matches(rest, tail)),
        ['\\', c, rest @ ..] | [c, rest @ ..] => {
            name.split_first().is_some_and(|(have, tail)| have == c && matches(rest, tail))
        }
    }
}

fn in_class(class: &[char], c: char) -> bool {
    let (negated, mut rest) = match class {
        ['^', rest @ ..] => (true, rest),
        all => (false, all),
    };
    let mut within = false;
    while let Some((low, tail)) = rest.split_first() {
        let (high, tail) = match tail {
            ['-', high, tail @ ..] => (high, tail),
            _ => (low, tail),
        };
        within |= (*low..=*high).contains(&c);
        rest = tail;
    }
    within != negated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_go() {
        let test = |pattern: &str, name: &str| {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            matches(&chars(pattern), &chars(name))
        };
        for (pattern, name) in [
            ("*.yml", "a.yml"),
            ("*", ""),
            ("a?c", "abc"),
            ("[a-c]x", "bx"),
            ("[^a-c]x", "dx"),
            ("a\\*b", "a*b"),
            ("**", "x"),
        ] {
            assert!(test(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("*.yml", "a.yaml"), ("a?c", "ac"), ("[a-c]x", "dx"), ("[x", "x"), ("a\\*b", "axb")]
        {
            assert!(!test(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn finds_files_sorted() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.yml", "a.yml", "c.txt"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let found = expand(dir.path(), "*.yml");
        assert_eq!(found, [dir.path().join("a.yml"), dir.path().join("b.yml")]);
        assert_eq!(expand(dir.path(), "none.yml"), [dir.path().join("none.yml")]);
        assert!(expand(dir.path(), "x*").is_empty());
        let absolute = dir.path().join("?.txt");
        let found = expand(Path::new("elsewhere"), absolute.to_str().unwrap());
        assert_eq!(found, [dir.path().join("c.txt")]);
    }
}
