//! Names of metrics and labels, as Prometheus makes them of OpenTelemetry's.

use super::Names;

/// Units of OpenTelemetry and what they are called in names.
const UNITS: [(&str, &str); 26] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", ""),
    ("%", "percent"),
];

/// The same behind a slash.
const PER_UNITS: [(&str, &str); 7] = [
    ("s", "second"),
    ("m", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

/// What decides about the suffix of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    /// A sum that only grows.
    Counter,
    Other,
}

/// The name of a metric.
pub(super) fn metric(name: &str, unit: &str, kind: Kind, names: Names) -> String {
    let ratio = unit == "1" && kind == Kind::Gauge;
    if names.utf8 {
        let mut out = name.to_owned();
        if names.suffixes {
            let (main, per) = units(unit);
            let total = if kind == Kind::Counter { "total" } else { "" };
            let ratio = if ratio { "ratio" } else { "" };
            for suffix in [main.as_str(), &per, total, ratio] {
                if !suffix.is_empty() {
                    out.push('_');
                    out.push_str(suffix);
                }
            }
        }
        return out;
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || c == ':' || (c == '_' && !names.suffixes);
    let words = name.split(|c| !fits(c)).filter(|word| !word.is_empty());
    let mut words: Vec<String> = words.map(str::to_owned).collect();
    if names.suffixes {
        let (main, per) = units(unit);
        add_units(&mut words, &plain(&main), &plain(&per));
        for (wanted, word) in [(kind == Kind::Counter, "total"), (ratio, "ratio")] {
            if wanted {
                words.retain(|have| have != word);
                words.push(word.to_owned());
            }
        }
    }
    let name = words.join("_");
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// Adds the words of a unit that a name does not have yet.
fn add_units(words: &mut Vec<String>, main: &str, per: &str) {
    let has = |words: &[String], word: &str| words.iter().any(|have| have == word);
    let mut main = if has(words, main) { "" } else { main };
    let per = if per == "per_" { "" } else { per.strip_suffix('_').unwrap_or(per) };
    let per = if has(words, per) { "" } else { per };
    if !per.is_empty() {
        main = main.strip_suffix('_').unwrap_or(main);
    }
    words.extend([main, per].into_iter().filter(|word| !word.is_empty()).map(str::to_owned));
}

/// What a unit is called, and what stands behind its slash.
fn units(unit: &str) -> (String, String) {
    let known = |table: &[(&str, &str)], unit: &str| {
        let unit = unit.trim();
        if unit.contains(['{', '}']) {
            return String::new();
        }
        let found = table.iter().find(|(have, _)| *have == unit);
        found.map_or(unit, |(_, name)| name).to_owned()
    };
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let per = known(&PER_UNITS, per);
    let per = if per.is_empty() { per } else { format!("per_{per}") };
    (known(&UNITS, main), per)
}

/// A unit in the classic alphabet.
fn plain(unit: &str) -> String {
    let mut out = String::with_capacity(unit.len());
    for c in unit.chars() {
        let c = if c.is_ascii_alphanumeric() || c == ':' { c } else { '_' };
        if c != '_' || !out.ends_with('_') {
            out.push(c);
        }
    }
    out.strip_prefix('_').map(str::to_owned).unwrap_or(out)
}

/// The name of a label.
pub(super) fn label(name: &str, names: Names) -> String {
    if names.utf8 || name.is_empty() {
        return name.to_owned();
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = name.chars().map(plain).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        format!("key_{name}")
    } else if name.starts_with('_') && !name.starts_with("__") {
        format!("key{name}")
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Names = Names { suffixes: true, utf8: false };

    #[test]
    fn metrics_get_words_for_their_units() {
        for (name, unit, kind, want) in [
            ("http.server.duration", "s", Kind::Other, "http_server_duration_seconds"),
            ("requests", "1", Kind::Counter, "requests_total"),
            ("total.requests", "", Kind::Counter, "requests_total"),
            ("cpu.ratio", "1", Kind::Gauge, "cpu_ratio"),
            ("cpu", "1", Kind::Other, "cpu"),
            ("memory.bytes.used", "By", Kind::Gauge, "memory_bytes_used"),
            ("io", "By/s", Kind::Gauge, "io_bytes_per_second"),
            ("io", "{req}/min", Kind::Gauge, "io_per_min"),
            ("io", "{req}/s", Kind::Gauge, "io_per_second"),
            ("io", "s/{req}", Kind::Gauge, "io_seconds"),
            ("io", "USD/h", Kind::Gauge, "io_USD_per_hour"),
            ("io", "foo bar", Kind::Gauge, "io_foo_bar"),
            ("io", "_x_/_y_", Kind::Gauge, "io_x_per_y"),
            ("io", " s ", Kind::Gauge, "io_seconds"),
            ("io", "s/", Kind::Gauge, "io_seconds"),
            ("io", "%", Kind::Gauge, "io_percent"),
            ("9.lives", "", Kind::Gauge, "_9_lives"),
            ("__a__b..c:d", "", Kind::Gauge, "a_b_c:d"),
            ("\u{fc}.x", "", Kind::Gauge, "x"),
        ] {
            assert_eq!(metric(name, unit, kind, FULL), want, "{name} {unit}");
        }
    }

    #[test]
    fn other_strategies_do_less() {
        let bare = Names { suffixes: false, utf8: false };
        assert_eq!(metric("__a__b..c", "s", Kind::Counter, bare), "__a__b_c");
        assert_eq!(metric("9a", "s", Kind::Counter, bare), "_9a");
        let utf8 = Names { suffixes: true, utf8: true };
        assert_eq!(metric("a.b", "By/s", Kind::Counter, utf8), "a.b_bytes_per_second_total");
        assert_eq!(metric("a.b", "1", Kind::Gauge, utf8), "a.b_ratio");
        let nothing = Names { suffixes: false, utf8: true };
        assert_eq!(metric("a b", "s", Kind::Counter, nothing), "a b");
        assert_eq!(label("a.b", nothing), "a.b");
    }

    #[test]
    fn labels_begin_with_a_letter() {
        for (name, want) in [
            ("a.b-c", "a_b_c"),
            ("1a", "key_1a"),
            (".a", "key_a"),
            ("__a", "__a"),
            ("..a", "__a"),
            ("a__b", "a__b"),
            ("\u{fc}b", "key_b"),
            ("", ""),
        ] {
            assert_eq!(label(name, FULL), want);
        }
    }
}
