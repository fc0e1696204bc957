//! Request lines as Go's server takes them.
//!
//! `curl -g '.../query?query=up{job="x"}'` sends the quotes as they are. Go reads any visible byte
//! in a request's target, and any byte above ASCII; the `http` crate refuses some of them, and
//! takes `#` for the begin of a fragment, which no request has. [`Quoting`] stands between the
//! connection and the HTTP library and writes these bytes as `%22` and the like.
//!
//! To know where a request begins it follows the framing of bodies. Whatever it does not know for
//! certain (two lengths, extensions of chunks, trailers) ends its work on that connection: from
//! there on every byte goes through as it came, so that no body is ever changed.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Longest line of a head that is looked at, in bytes: what says how long a body is, is shorter.
const LINE_BYTES_MAX: usize = 64;

/// Most digits of a chunk's size.
const SIZE_DIGITS_MAX: usize = 15;

/// A connection in whose request lines all is quoted that the HTTP library does not take.
#[derive(Debug)]
pub(super) struct Quoting<S> {
    inner: S,
    walk: Walk,
    /// What was quoted and did not fit: at most three times what one read brought.
    ready: Vec<u8>,
    given: usize,
}

impl<S> Quoting<S> {
    /// A connection on which a request is about to begin.
    pub(super) fn new(inner: S) -> Self {
        Self { inner, walk: Walk::default(), ready: Vec::new(), given: 0 }
    }

    /// Hands on what was quoted before.
    fn give(&mut self, buf: &mut ReadBuf<'_>) {
        let rest = self.ready.get(self.given..).unwrap_or(&[]);
        let part = rest.get(..buf.remaining()).unwrap_or(rest);
        buf.put_slice(part);
        self.given += part.len();
        if self.given == self.ready.len() {
            (self.ready, self.given) = (Vec::new(), 0);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Quoting<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.ready.is_empty() {
            this.give(buf);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(context, buf))?;
        let fresh = buf.filled().get(before..).unwrap_or(&[]);
        let as_it_is = this.walk.pass(fresh);
        if let Some(rest) = fresh.get(as_it_is..).filter(|rest| !rest.is_empty()) {
            this.walk.quote(rest, &mut this.ready);
            buf.set_filled(before + as_it_is);
            this.give(buf);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Quoting<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

/// Where in the sequence of requests the next byte stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Between requests, where empty lines are skipped.
    #[default]
    Between,
    Method,
    Target,
    /// In the rest of the request line.
    Version,
    /// In a line of the head.
    Header,
    /// In a body, of which so many bytes are left.
    Body(u64),
    /// In the line with the size of a chunk.
    Size,
    /// In a chunk, of which so many bytes are left, those of its end included.
    Chunk(u64),
    /// In the line after the last chunk.
    End,
    /// Where nobody knows: everything goes through.
    Lost,
}

/// How long the body of the current request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Framing {
    #[default]
    None,
    Length(u64),
    Chunked,
    Unclear,
}

/// The way through the requests of a connection.
#[derive(Debug, Default)]
struct Walk {
    place: Place,
    framing: Framing,
    line: Line,
}

impl Walk {
    /// Goes on over `input`; returns how many of its bytes may stay as they are. The byte after
    /// them must be quoted.
    fn pass(&mut self, input: &[u8]) -> usize {
        let mut at = 0;
        while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
            at += match self.place {
                Place::Between => {
                    let empty = count(rest, |byte| matches!(byte, b'\r' | b'\n'));
                    if empty < rest.len() {
                        self.place = Place::Method;
                    }
                    empty
                }
                Place::Method => {
                    let method = count(rest, u8::is_ascii_graphic);
                    self.after(rest.get(method), b' ', Place::Target);
                    rest.len().min(method + 1)
                }
                Place::Target => {
                    let target = count(rest, |&byte| byte > b' ' && !must_quote(byte));
                    match rest.get(target) {
                        Some(&byte) if must_quote(byte) => return at + target,
                        next => self.after(next, b' ', Place::Version),
                    }
                    rest.len().min(target + 1)
                }
                Place::Version | Place::Header | Place::Size | Place::End => self.line(rest),
                Place::Body(left) => self.skip(rest, left, Place::Body, Place::Between),
                Place::Chunk(left) => self.skip(rest, left, Place::Chunk, Place::Size),
                Place::Lost => rest.len(),
            };
        }
        at
    }

    /// Goes on over `input` and appends it to `out` with quotes where there must be some.
    fn quote(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let mut rest = input;
        loop {
            let (same, left) = rest.split_at(self.pass(rest));
            out.extend_from_slice(same);
            let Some((&byte, left)) = left.split_first() else { return };
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
            rest = left;
        }
    }

    /// Goes to `place` if the next byte is `want`, and nowhere when it is still to come.
    fn after(&mut self, next: Option<&u8>, want: u8, place: Place) {
        match next {
            None => {}
            Some(&byte) if byte == want => self.place = place,
            Some(_) => self.place = Place::Lost,
        }
    }

    /// Goes over bytes of which `left` are left at `place`.
    fn skip(&mut self, rest: &[u8], left: u64, place: fn(u64) -> Place, then: Place) -> usize {
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
        let left = left - here as u64;
        self.place = if left == 0 { then } else { place(left) };
        here
    }

    /// Goes to the end of a line, and reads it when it is there.
    fn line(&mut self, rest: &[u8]) -> usize {
        let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
            self.line.push(rest);
            return rest.len();
        };
        self.line.push(rest.get(..end).unwrap_or(rest));
        let line = std::mem::take(&mut self.line);
        self.place = match self.place {
            Place::Version => {
                self.framing = Framing::None;
                Place::Header
            }
            Place::Header if line.is_empty() => match self.framing {
                Framing::None | Framing::Length(0) => Place::Between,
                Framing::Length(bytes) => Place::Body(bytes),
                Framing::Chunked => Place::Size,
                Framing::Unclear => Place::Lost,
            },
            Place::Header => {
                self.framing = line.framing(self.framing);
                Place::Header
            }
            Place::Size => match line.size() {
                Some(0) => Place::End,
                Some(bytes) => Place::Chunk(bytes + 2),
                None => Place::Lost,
            },
            Place::End if line.is_empty() => Place::Between,
            _ => Place::Lost,
        };
        end + 1
    }
}

/// The begin of a line.
#[derive(Debug)]
struct Line {
    bytes: [u8; LINE_BYTES_MAX],
    /// How long the whole line is.
    len: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { bytes: [0; LINE_BYTES_MAX], len: 0 }
    }
}

impl Line {
    fn push(&mut self, part: &[u8]) {
        let room = self.bytes.get_mut(self.len..).unwrap_or(&mut []);
        for (to, from) in room.iter_mut().zip(part) {
            *to = *from;
        }
        self.len = self.len.saturating_add(part.len());
    }

    /// The line without its end; `None` when it is too long.
    fn whole(&self) -> Option<&[u8]> {
        let line = self.bytes.get(..self.len)?;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }

    fn is_empty(&self) -> bool {
        self.whole().is_some_and(<[u8]>::is_empty)
    }

    /// What is known of the body's length after this line of the head.
    fn framing(&self, before: Framing) -> Framing {
        let is = |name: &str| {
            let start = self.bytes.get(..name.len().min(self.len)).unwrap_or(&[]);
            start.eq_ignore_ascii_case(name.as_bytes())
        };
        let now = if is("content-length:") {
            let digits = self.value().filter(|value| !value.is_empty());
            let digits = digits.filter(|value| value.iter().all(u8::is_ascii_digit));
            let text = digits.and_then(|digits| std::str::from_utf8(digits).ok());
            text.and_then(|text| text.parse().ok()).map_or(Framing::Unclear, Framing::Length)
        } else if is("transfer-encoding:") {
            let chunked = self.value().is_some_and(|value| value.eq_ignore_ascii_case(b"chunked"));
            if chunked { Framing::Chunked } else { Framing::Unclear }
        } else {
            return before;
        };
        if before == Framing::None { now } else { Framing::Unclear }
    }

    /// What stands behind the colon.
    fn value(&self) -> Option<&[u8]> {
        let line = self.whole()?;
        let colon = line.iter().position(|&byte| byte == b':')?;
        Some(line.get(colon + 1..)?.trim_ascii())
    }

    /// The size of a chunk, when the line has nothing else.
    fn size(&self) -> Option<u64> {
        let line = self.bytes.get(..self.len)?.strip_suffix(b"\r")?;
        let plain = line.len() <= SIZE_DIGITS_MAX && line.iter().all(u8::is_ascii_hexdigit);
        u64::from_str_radix(std::str::from_utf8(line).ok().filter(|_| plain)?, 16).ok()
    }
}

/// How many bytes there are before the first that is not `wanted`.
fn count(bytes: &[u8], wanted: impl Fn(&u8) -> bool) -> usize {
    bytes.iter().position(|byte| !wanted(byte)).unwrap_or(bytes.len())
}

/// Whether the HTTP library refuses or misreads a byte that Go's takes.
fn must_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'#' | b'<' | b'>' | b'`') || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// A connection that brings its bytes in pieces.
    struct Pieces(VecDeque<Vec<u8>>);

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _context: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let Some(mut piece) = self.0.pop_front() else { return Poll::Ready(Ok(())) };
            let rest = piece.split_off(piece.len().min(buf.remaining()));
            buf.put_slice(&piece);
            if !rest.is_empty() {
                self.0.push_front(rest);
            }
            Poll::Ready(Ok(()))
        }
    }

    /// What the HTTP library sees of `sent`, which comes in pieces and is read in pieces.
    async fn seen(sent: &[u8], piece: usize, read: usize) -> String {
        let pieces = sent.chunks(piece).map(<[u8]>::to_vec).collect();
        let mut quoting = Quoting::new(Pieces(pieces));
        let (mut seen, mut buffer) = (Vec::new(), vec![0; read]);
        loop {
            let got = quoting.read(&mut buffer).await.unwrap();
            if got == 0 {
                return String::from_utf8_lossy(&seen).into_owned();
            }
            seen.extend_from_slice(&buffer[..got]);
        }
    }

    async fn check(parts: &[(&str, &str)]) {
        let sent: String = parts.iter().map(|(sent, _)| *sent).collect();
        let want: String = parts
            .iter()
            .map(|(sent, want)| if want.is_empty() { sent } else { want })
            .copied()
            .collect();
        for piece in [1, 2, 3, 7, 64, 4096] {
            for read in [1, 2, 50, 8192] {
                assert_eq!(seen(sent.as_bytes(), piece, read).await, want, "{piece} {read}");
            }
        }
    }

    #[tokio::test]
    async fn request_lines_are_quoted_and_bodies_are_not() {
        check(&[
            (
                "\r\n\nGET /a?q=up{job=\"x\"} HTTP/1.1\r\n",
                "\r\n\nGET /a?q=up{job=%22x%22} HTTP/1.1\r\n",
            ),
            ("Host: \"h\"\r\nX: \u{e9}<\r\n\r\n", ""),
            ("GET /\u{e9}/<>`# HTTP/1.1\nA: b\n\n", "GET /%C3%A9/%3C%3E%60%23 HTTP/1.1\nA: b\n\n"),
            ("POST /\" HTTP/1.1\r\n", "POST /%22 HTTP/1.1\r\n"),
            ("content-LENGTH: \t16 \r\nY: \"\r\n\r\nGET /\" HTTP/1.1\n", ""),
            (
                "GET /\" HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
                "GET /%22 HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
            ),
            ("PUT /# HTTP/1.1\r\n", "PUT /%23 HTTP/1.1\r\n"),
            ("Transfer-Encoding: Chunked\r\n\r\n", ""),
            ("10\r\nGET /\" HTTP/1.1\n\r\n00a\r\nGET \"\r\n\r\n<\r\n0\r\n\r\n", ""),
            ("GET /last\" HTTP/1.0\r\n\r\n", "GET /last%22 HTTP/1.0\r\n\r\n"),
            ("GET /half\"", "GET /half%22"),
        ])
        .await;
    }

    #[tokio::test]
    async fn where_a_body_ends_nobody_knows_nothing_changes_any_more() {
        let long = format!("Content-Length: {}1\r\n\r\nX", " ".repeat(60));
        for head in [
            "Content-Length: 1\r\nContent-Length: 1\r\n\r\nX",
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "Content-Length: +1\r\n\r\nX",
            "Content-Length:\r\n\r\n",
            "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n0;a=b\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n0\r\nTrailer: x\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n0000000000000000\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n0\n\n",
            &long,
        ] {
            let sent = format!("POST /\" HTTP/1.1\r\n{head}GET /\" HTTP/1.1\r\n\r\n");
            let want = sent.replacen('"', "%22", 1);
            check(&[(&sent, &want)]).await;
        }
        for sent in ["GET\"/ HTTP/1.1\r\n\r\nGET /\" HTTP/1.1\r\n", "GET /\r\nGET /\" HTTP/1.1"] {
            check(&[(sent, "")]).await;
        }
    }

    #[test]
    fn a_request_that_needs_nothing_goes_through_at_once() {
        let request = b"POST /api/v1/query HTTP/1.1\r\nContent-Length: 9\r\n\r\nquery=\"1\"";
        let mut walk = Walk::default();
        assert_eq!(walk.pass(request), request.len());
        assert_eq!(walk.place, Place::Between);
    }
}
