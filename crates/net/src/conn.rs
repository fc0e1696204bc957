//! One HTTP/1.1 connection, one exchange at a time.

use std::io::IoSlice;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::dial::Stream;
use crate::error::{Error, Failure};
use crate::session::{HEAD_BYTES_MAX, HEADERS_MAX};

/// Room that a read finds at least.
const READ_BYTES: usize = 8 << 10;

/// Longest line that names a chunk's size, extensions included.
const CHUNK_LINE_BYTES_MAX: usize = 4 << 10;

/// A connection that is ready for a request.
#[derive(Debug)]
pub(crate) struct Conn {
    stream: Box<dyn Stream>,
    /// Whether an exchange was completed on it before.
    pub(crate) used: bool,
}

/// The head of an answer, and how its body is bounded.
#[derive(Debug)]
pub(crate) struct RawHead {
    pub(crate) status: StatusCode,
    /// The reason phrase, where it is not the status' usual one.
    pub(crate) reason: Option<Box<str>>,
    pub(crate) headers: HeaderMap,
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
    /// Bytes of the head, at the start of the buffer it was read into.
    pub(crate) len: usize,
}

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Empty,
    Length(usize),
    Chunked,
    UntilClose,
}

/// Why no head was read.
#[derive(Debug)]
pub(crate) struct NoHead {
    pub(crate) failure: Failure,
    /// Whether the peer had not sent one byte: a connection that was idle may have been closed
    /// before the request came.
    pub(crate) silent: bool,
}

impl Conn {
    pub(crate) fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, used: false }
    }

    /// The bare stream, for a tunnel.
    pub(crate) fn into_stream(self) -> Box<dyn Stream> {
        self.stream
    }

    /// Writes a request and reads the head of its answer, with what follows it, into `buffer`.
    pub(crate) async fn ask(
        &mut self,
        head: &[u8],
        body: &[u8],
        bodiless: bool,
        buffer: &mut Vec<u8>,
    ) -> Result<RawHead, NoHead> {
        let written = self.write(head, body).await;
        // A peer that refuses a request may answer and close before it has read all of it: its
        // answer says more than the broken pipe.
        match (written, self.read_head(bodiless, buffer).await) {
            (Ok(()), read) => read,
            (Err(_), Ok(mut head)) => {
                head.keep_alive = false;
                Ok(head)
            }
            (Err(e), Err(no_head)) => {
                Err(NoHead { failure: Failure::write(e), silent: no_head.silent })
            }
        }
    }

    async fn write(&mut self, head: &[u8], body: &[u8]) -> std::io::Result<()> {
        let mut sent = 0;
        while sent < head.len() && !body.is_empty() {
            let rest = head.get(sent..).unwrap_or_default();
            let written =
                self.stream.write_vectored(&[IoSlice::new(rest), IoSlice::new(body)]).await?;
            if written == 0 {
                return Err(std::io::ErrorKind::WriteZero.into());
            }
            sent += written;
        }
        if sent < head.len() {
            self.stream.write_all(head.get(sent..).unwrap_or_default()).await?;
            sent = head.len();
        }
        self.stream.write_all(body.get(sent - head.len()..).unwrap_or_default()).await?;
        self.stream.flush().await
    }

    async fn read_head(&mut self, bodiless: bool, buffer: &mut Vec<u8>) -> Result<RawHead, NoHead> {
        buffer.clear();
        loop {
            let silent = buffer.is_empty();
            match self.fill(buffer).await {
                Err(source) => return Err(NoHead { failure: Failure::read(source), silent }),
                Ok(0) if silent => return Err(NoHead { failure: Failure::Eof, silent }),
                Ok(0) => return Err(NoHead { failure: Failure::UnexpectedEof, silent }),
                Ok(_) => {}
            }
            loop {
                let parsed = parse_head(buffer, bodiless);
                match parsed.map_err(|failure| NoHead { failure, silent: false })? {
                    // 101 would end HTTP here; it was not asked for.
                    Some(head) if head.status.is_informational() && head.status != 101 => {
                        buffer.drain(..head.len);
                    }
                    Some(head) => return Ok(head),
                    None => break,
                }
            }
            if buffer.len() > HEAD_BYTES_MAX {
                let failure = Failure::HeadTooLarge(HEAD_BYTES_MAX);
                return Err(NoHead { failure, silent: false });
            }
        }
    }

    /// Reads the body that follows `head`, leaving in `buffer` the body alone. Returns how many
    /// bytes came in, framing included, and whether the connection can be used again.
    pub(crate) async fn read_body(
        &mut self,
        head: &RawHead,
        buffer: &mut Vec<u8>,
        body_bytes_max: usize,
    ) -> Result<(usize, bool), Error> {
        match head.framing {
            Framing::Chunked => {
                let wire_bytes = self.read_chunks(head.len, buffer, body_bytes_max).await?;
                Ok((wire_bytes, head.keep_alive))
            }
            Framing::UntilClose => {
                buffer.drain(..head.len);
                loop {
                    if buffer.len() > body_bytes_max {
                        return Err(Error::BodyTooLarge);
                    }
                    if self.fill(buffer).await.map_err(body_failed)? == 0 {
                        return Ok((buffer.len(), false));
                    }
                }
            }
            Framing::Empty => {
                buffer.drain(..head.len);
                let clean = buffer.is_empty();
                buffer.clear();
                Ok((0, head.keep_alive && clean))
            }
            Framing::Length(len) => {
                if len > body_bytes_max {
                    return Err(Error::BodyTooLarge);
                }
                buffer.drain(..head.len);
                while buffer.len() < len {
                    if self.fill(buffer).await.map_err(body_failed)? == 0 {
                        return Err(Error::Body(Failure::UnexpectedEof));
                    }
                }
                // More than was announced: whatever it is, the next answer it is not.
                let clean = buffer.len() == len;
                buffer.truncate(len);
                Ok((len, head.keep_alive && clean))
            }
        }
    }

    /// Takes the framing off in place: what is decoded moves to the front of `buffer` while what
    /// is still framed waits behind it.
    async fn read_chunks(
        &mut self,
        head_len: usize,
        buffer: &mut Vec<u8>,
        body_bytes_max: usize,
    ) -> Result<usize, Error> {
        let mut chunks = Chunks { decoded: 0, next: head_len, left: 0, state: ChunkState::Size };
        let mut wire_bytes = buffer.len() - head_len;
        while !chunks.advance(buffer).map_err(broken)? {
            if chunks.decoded > body_bytes_max {
                return Err(Error::BodyTooLarge);
            }
            let waiting = buffer.len() - chunks.next;
            if waiting > CHUNK_LINE_BYTES_MAX {
                return Err(broken("header line too long"));
            }
            buffer.copy_within(chunks.next.., chunks.decoded);
            buffer.truncate(chunks.decoded + waiting);
            chunks.next = chunks.decoded;
            match self.fill(buffer).await.map_err(body_failed)? {
                0 => return Err(Error::Body(Failure::UnexpectedEof)),
                read => wire_bytes += read,
            }
        }
        if chunks.decoded > body_bytes_max {
            return Err(Error::BodyTooLarge);
        }
        let clean = chunks.next == buffer.len();
        buffer.truncate(chunks.decoded);
        if clean { Ok(wire_bytes) } else { Err(broken("unsolicited bytes after the last chunk")) }
    }

    async fn fill(&mut self, buffer: &mut Vec<u8>) -> std::io::Result<usize> {
        if buffer.capacity() - buffer.len() < READ_BYTES {
            buffer.reserve(READ_BYTES);
        }
        self.stream.read_buf(buffer).await
    }
}

fn body_failed(source: std::io::Error) -> Error {
    if source.kind() == std::io::ErrorKind::UnexpectedEof {
        return Error::Body(Failure::UnexpectedEof);
    }
    Error::Body(Failure::read(source))
}

fn broken(text: &str) -> Error {
    Error::Body(Failure::Protocol(text.to_owned()))
}

/// Where the decoding of a chunked body stands.
#[derive(Debug)]
struct Chunks {
    /// Bytes decoded, at the front of the buffer.
    decoded: usize,
    /// Where the bytes start that are still framed.
    next: usize,
    /// Bytes of the current chunk that are still to come.
    left: usize,
    state: ChunkState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkState {
    Size,
    Data,
    DataEnd,
    Trailer,
}

impl Chunks {
    /// Decodes what is there; `true` when the last chunk and its trailer have been read.
    fn advance(&mut self, buffer: &mut [u8]) -> Result<bool, &'static str> {
        loop {
            let rest = buffer.get(self.next..).unwrap_or_default();
            match self.state {
                ChunkState::Data => {
                    let take = self.left.min(rest.len());
                    buffer.copy_within(self.next..self.next + take, self.decoded);
                    self.decoded += take;
                    self.next += take;
                    self.left -= take;
                    if self.left > 0 {
                        return Ok(false);
                    }
                    self.state = ChunkState::DataEnd;
                }
                ChunkState::DataEnd => match rest {
                    [b'\r', b'\n', ..] => {
                        self.next += 2;
                        self.state = ChunkState::Size;
                    }
                    [] | [b'\r'] => return Ok(false),
                    _ => return Err("malformed chunked encoding"),
                },
                ChunkState::Size => {
                    let Some((line, len)) = take_line(rest) else { return Ok(false) };
                    self.left = chunk_size(line)?;
                    self.next += len;
                    let last = self.left == 0;
                    self.state = if last { ChunkState::Trailer } else { ChunkState::Data };
                }
                ChunkState::Trailer => {
                    let Some((line, len)) = take_line(rest) else { return Ok(false) };
                    let end = line.is_empty();
                    self.next += len;
                    if end {
                        return Ok(true);
                    }
                }
            }
        }
    }
}

/// The first line without its end, and its length with it.
fn take_line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    let line = bytes.get(..end)?;
    Some((line.strip_suffix(b"\r").unwrap_or(line), end + 1))
}

fn chunk_size(line: &[u8]) -> Result<usize, &'static str> {
    let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
    let digits = digits.trim_ascii_end();
    if digits.is_empty() || digits.len() > 15 {
        return Err("invalid byte in chunk length");
    }
    digits.iter().try_fold(0usize, |size, &byte| {
        let digit = char::from(byte).to_digit(16).ok_or("invalid byte in chunk length")?;
        Ok(size << 4 | digit as usize)
    })
}

/// Reads a head from the start of `buffer`; `None` while it is not all there.
fn parse_head(buffer: &[u8], bodiless: bool) -> Result<Option<RawHead>, Failure> {
    let mut slots = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut slots);
    let len = match response.parse(buffer) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(malformed(buffer, error)),
    };
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or_else(|| malformed(buffer, httparse::Error::Status))?;
    let reason = response.reason.filter(|&reason| Some(reason) != status.canonical_reason());
    let reason = reason.map(Box::from);
    // One allocation holds all values.
    let text = Bytes::copy_from_slice(buffer.get(..len).unwrap_or_default());
    let mut headers = HeaderMap::with_capacity(response.headers.len());
    for header in response.headers.iter() {
        let start = header.value.as_ptr().addr().wrapping_sub(buffer.as_ptr().addr());
        let value = match start.checked_add(header.value.len()) {
            Some(end) if !header.value.is_empty() && end <= len => text.slice(start..end),
            _ => Bytes::new(),
        };
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let value = HeaderValue::from_maybe_shared(value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(malformed(buffer, httparse::Error::HeaderValue));
        };
        headers.append(name, value);
    }
    let framing = if bodiless || status == 204 || status == 304 || status.is_informational() {
        Framing::Empty
    } else {
        framing_of(&headers)?
    };
    let keep_alive = if response.version == Some(1) {
        !says(&headers, http::header::CONNECTION, "close")
    } else {
        says(&headers, http::header::CONNECTION, "keep-alive")
    };
    // Two ways to say where the body ends are one too many to trust what follows it.
    let doubtful =
        framing == Framing::Chunked && headers.contains_key(http::header::CONTENT_LENGTH);
    let keep_alive = keep_alive && !doubtful;
    Ok(Some(RawHead { status, reason, headers, framing, keep_alive, len }))
}

fn framing_of(headers: &HeaderMap) -> Result<Framing, Failure> {
    let mut codings = headers.get_all(http::header::TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        let chunked = coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
        if chunked && codings.next().is_none() {
            return Ok(Framing::Chunked);
        }
        let text = String::from_utf8_lossy(coding.as_bytes()).into_owned();
        return Err(Failure::Protocol(format!("unsupported transfer encoding: {text:?}")));
    }
    let mut length = None;
    for value in headers.get_all(http::header::CONTENT_LENGTH) {
        let bytes = value.as_bytes();
        let digits = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
        let parsed = value.to_str().ok().filter(|_| digits).and_then(|text| text.parse().ok());
        match (parsed, length) {
            (Some(parsed), None) => length = Some(parsed),
            (Some(parsed), Some(before)) if parsed == before => {}
            _ => {
                let text = String::from_utf8_lossy(bytes).into_owned();
                return Err(Failure::Protocol(format!("bad Content-Length {text:?}")));
            }
        }
    }
    Ok(length.map_or(Framing::UntilClose, Framing::Length))
}

fn says(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    headers.get_all(name).iter().any(|value| {
        let mut words = value.as_bytes().split(|&byte| byte == b',');
        words.any(|have| have.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    })
}

fn malformed(buffer: &[u8], error: httparse::Error) -> Failure {
    // A TLS alert or handshake record: the peer wants TLS.
    if matches!(buffer, [0x15 | 0x16, 3, ..]) {
        return Failure::Protocol("net/http: HTTP/1.x transport connection broken: malformed HTTP response: the server speaks TLS".to_owned());
    }
    let line: Vec<u8> = buffer.iter().copied().take_while(|&b| b != b'\r' && b != b'\n').collect();
    let line = String::from_utf8_lossy(line.get(..line.len().min(80)).unwrap_or_default());
    let line = narthex_model::number::GoQuoted(&line);
    Failure::Protocol(format!(
        "net/http: HTTP/1.x transport connection broken: malformed HTTP response {line} ({error})"
    ))
}

#[cfg(test)]
mod tests;
