//! Words of a command line: flags with a value, and the rest.

use narthex_model::{TimeRange, Timestamp};

/// What stands behind a command.
#[derive(Debug)]
pub(super) struct Args<'a> {
    /// The words that are no flags.
    pub(super) words: Vec<&'a str>,
    flags: Vec<(&'a str, &'a str)>,
}

impl<'a> Args<'a> {
    /// Reads `--name VALUE` and `--name=VALUE` for the flags that are `known`.
    pub(super) fn parse(all: &[&'a str], known: &[&str]) -> Result<Self, String> {
        let (mut words, mut flags) = (Vec::new(), Vec::new());
        let mut rest = all.iter();
        while let Some(&word) = rest.next() {
            let Some(flag) = word.strip_prefix("--") else {
                words.push(word);
                continue;
            };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (flag, None),
            };
            if !known.contains(&name) {
                return Err(format!("unknown flag --{name}, try narthex ctl help\n"));
            }
            let value = value.or_else(|| rest.next().copied());
            flags.push((name, value.ok_or(format!("--{name} needs a value\n"))?));
        }
        Ok(Self { words, flags })
    }

    /// The values of a flag that may be repeated.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.flags.iter().filter(move |(known, _)| *known == name).map(|&(_, value)| value)
    }

    /// The value of a flag; of several the last.
    pub(super) fn last(&self, name: &str) -> Option<&'a str> {
        self.all(name).last()
    }

    /// The data directory: `--storage.tsdb.path`, by default that of the server.
    pub(super) fn data_dir(&self) -> &'a str {
        self.last("storage.tsdb.path").unwrap_or("data/")
    }

    /// The range of `--min-time` and `--max-time`, both ends included.
    pub(super) fn range(&self) -> Result<TimeRange, String> {
        let time = |name, default| match self.last(name) {
            Some(text) => parse_time(text).ok_or(format!(
                "--{name}: {text:?} is neither RFC 3339 nor seconds or milliseconds since 1970\n"
            )),
            None => Ok(default),
        };
        let range =
            TimeRange::new(time("min-time", Timestamp::MIN)?, time("max-time", Timestamp::MAX)?);
        if range.start > range.end {
            return Err("--min-time is after --max-time\n".to_owned());
        }
        Ok(range)
    }
}

/// Numbers from here on are milliseconds, smaller ones seconds: until the year 5138 there is no
/// doubt.
const MILLIS_FROM: f64 = 1e11;

/// A time as RFC 3339, or as a number of seconds or milliseconds since 1970.
#[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
pub(super) fn parse_time(text: &str) -> Option<Timestamp> {
    if let Ok(number) = text.parse::<f64>() {
        let millis = if number.abs() < MILLIS_FROM { number * 1000.0 } else { number };
        return millis.is_finite().then(|| Timestamp(millis.round() as i64));
    }
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp(time.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_stand_anywhere() {
        let words = ["src", "--storage.tsdb.path=/d", "--match", "up", "out", "--match=a"];
        let args = Args::parse(&words, &["storage.tsdb.path", "match"]).unwrap();
        assert_eq!(args.words, ["src", "out"]);
        assert_eq!(args.data_dir(), "/d");
        assert_eq!(args.all("match").collect::<Vec<_>>(), ["up", "a"]);
        assert!(Args::parse(&["--x=1"], &["y"]).is_err());
        assert!(Args::parse(&["--y"], &["y"]).is_err());
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        let at = Timestamp(1_795_254_389_500);
        for text in ["1795254389.5", "1795254389500", "2026-11-21T09:46:29.5Z"] {
            assert_eq!(parse_time(text), Some(at), "{text}");
        }
        assert_eq!(parse_time("2026-11-21T10:46:29.5+01:00"), Some(at));
        assert_eq!(parse_time("yesterday"), None);
        assert_eq!(parse_time("NaN"), None);
    }
}
