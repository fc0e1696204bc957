//! Recorded bodies: a zstd file of frames `#FRAME <unix ms> <length>\n<body>`.

use std::io::{self, Read};
use std::path::Path;

/// One body and when it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// The body.
    pub body: Vec<u8>,
}

/// Reads all frames of a recording.
///
/// # Errors
/// When the file cannot be read or a frame's head is not of the form above.
pub fn read(path: &Path) -> io::Result<Vec<Frame>> {
    let mut text = Vec::new();
    zstd::Decoder::new(std::fs::File::open(path)?)?.read_to_end(&mut text)?;
    let mut frames = Vec::new();
    let mut rest = text.as_slice();
    while let Some(line_end) = rest.iter().position(|&b| b == b'\n') {
        let (head, tail) = rest.split_at(line_end + 1);
        let frame = parse_head(head).and_then(|(at_ms, length)| {
            Some((Frame { at_ms, body: tail.get(..length)?.to_vec() }, tail.get(length..)?))
        });
        let Some((frame, after)) = frame else {
            let head = String::from_utf8_lossy(head).into_owned();
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("bad frame: {head}")));
        };
        frames.push(frame);
        rest = after;
    }
    Ok(frames)
}

fn parse_head(head: &[u8]) -> Option<(i64, usize)> {
    let head = std::str::from_utf8(head).ok()?;
    let mut words = head.strip_prefix("#FRAME ")?.split_whitespace();
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

/// The sample lines of a body whose series are among the first `count` of `first`'s, so that a
/// part of an exporter can be replayed without the part that churns.
#[derive(Clone, Debug)]
pub struct Subset {
    wanted: std::collections::HashSet<Vec<u8>>,
}

impl Subset {
    /// The first `count` series of a body that `keep` accepts by their text.
    pub fn first(body: &[u8], count: usize, keep: impl Fn(&[u8]) -> bool) -> Self {
        let series = lines(body).filter_map(series_of).filter(|s| keep(s)).take(count);
        Self { wanted: series.map(<[u8]>::to_vec).collect() }
    }

    /// Appends the lines of `body` that belong to the subset.
    pub fn copy(&self, body: &[u8], out: &mut Vec<u8>) {
        for line in lines(body) {
            if series_of(line).is_some_and(|series| self.wanted.contains(series)) {
                out.extend_from_slice(line);
                out.push(b'\n');
            }
        }
    }
}

fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.split(|&b| b == b'\n')
}

/// What stands before the value, `None` for comments and blank lines.
fn series_of(line: &[u8]) -> Option<&[u8]> {
    if line.first().is_none_or(|&b| b == b'#') {
        return None;
    }
    let end = line.iter().rposition(|&b| b == b' ')?;
    line.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn frames_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.rec.zst");
        let mut encoder = zstd::Encoder::new(std::fs::File::create(&path).unwrap(), 1).unwrap();
        encoder.write_all(b"#FRAME 15 4\na 1\n#FRAME 16 0\n#FRAME 17 4\na 2\n").unwrap();
        encoder.finish().unwrap();
        let frames = read(&path).unwrap();
        let bodies: Vec<&[u8]> = frames.iter().map(|f| f.body.as_slice()).collect();
        assert_eq!(bodies, [b"a 1\n".as_slice(), b"", b"a 2\n"]);
        assert_eq!(frames[2].at_ms, 17);
    }

    #[test]
    fn a_subset_keeps_its_lines() {
        let subset = Subset::first(b"# TYPE a counter\na 1\nb{x=\"y z\"} 2\nc 3\n", 2, |_| true);
        let mut out = Vec::new();
        subset.copy(b"new 7\nb{x=\"y z\"} 5\na 4\nc 3\n", &mut out);
        assert_eq!(out, b"b{x=\"y z\"} 5\na 4\n");
    }
}
