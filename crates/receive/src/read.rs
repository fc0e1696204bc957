//! The request of remote read, `prometheus.ReadRequest`.

use narthex_model::{MatchOp, Matcher, TimeRange, Timestamp};

use crate::answer::Failure;
use crate::receiver::decompress;
use crate::wire::{Fields, Malformed, Value};

/// Largest body of a request, compressed, in bytes.
pub const READ_BODY_BYTES_MAX: usize = 1 << 20;

/// Most queries of a request, and most matchers of a query.
const LIST_MAX: usize = 1000;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct ReadRequest {
    /// Each is answered on its own.
    pub queries: Vec<ReadQuery>,
    /// Whether the client takes frames of chunks; otherwise it wants samples in one message.
    pub streamed: bool,
    /// Whether it takes samples in one message, too, or nothing else.
    pub whole: bool,
}

/// Series and a range of time.
#[derive(Clone, Debug)]
pub struct ReadQuery {
    /// Both ends are included.
    pub range: TimeRange,
    /// A series must satisfy all of them.
    pub matchers: Vec<Matcher>,
}

impl ReadRequest {
    /// Reads a body: the message compressed with snappy's block format.
    ///
    /// # Errors
    /// When it is too large or not such a message.
    pub fn parse(body: &[u8]) -> Result<Self, Failure> {
        let mut plain = Vec::new();
        let length = decompress(body, &mut plain)?;
        read(plain.get(..length).unwrap_or_default()).map_err(Failure::Malformed)
    }
}

fn read(message: &[u8]) -> Result<ReadRequest, String> {
    let mut request = ReadRequest { queries: Vec::new(), streamed: false, whole: false };
    // The first type that is known counts; samples when none is named.
    let mut chosen = None;
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next().map_err(in_words)? {
        match (field.number, field.value) {
            (1, Value::Bytes(query)) if request.queries.len() < LIST_MAX => {
                request.queries.push(read_query(query)?);
            }
            (1, Value::Bytes(_)) => return Err(format!("more than {LIST_MAX} queries")),
            (2, Value::Varint(kind)) => {
                request.whole |= known_type(kind) == Some(false);
                chosen = chosen.or(known_type(kind));
            }
            (2, Value::Bytes(packed)) => {
                let mut packed = Fields::new(packed);
                while let Some(kind) = packed.packed().map_err(in_words)? {
                    request.whole |= known_type(kind) == Some(false);
                    chosen = chosen.or(known_type(kind));
                }
            }
            _ => {}
        }
    }
    request.streamed = chosen.unwrap_or(false);
    request.whole |= !request.streamed;
    Ok(request)
}

/// Whether a type of answer means frames of chunks; `None`: it is not known.
fn known_type(kind: u64) -> Option<bool> {
    match kind {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn read_query(message: &[u8]) -> Result<ReadQuery, String> {
    let (mut start, mut end, mut matchers) = (0, 0, Vec::new());
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next().map_err(in_words)? {
        match field.number {
            1 => start = field.varint().map_err(in_words)?.cast_signed(),
            2 => end = field.varint().map_err(in_words)?.cast_signed(),
            3 if matchers.len() == LIST_MAX => {
                return Err(format!("more than {LIST_MAX} matchers"));
            }
            3 => matchers.push(read_matcher(field.bytes().map_err(in_words)?)?),
            // The hints tell what the client will compute; it gets the samples for that anyway.
            _ => {}
        }
    }
    Ok(ReadQuery { range: TimeRange::new(Timestamp(start), Timestamp(end)), matchers })
}

fn read_matcher(message: &[u8]) -> Result<Matcher, String> {
    let (mut op, mut name, mut value) = (MatchOp::Equal, "", "");
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next().map_err(in_words)? {
        let text = || {
            let bytes = field.bytes().map_err(in_words)?;
            std::str::from_utf8(bytes).map_err(|_| "a matcher is not UTF-8".to_owned())
        };
        match field.number {
            1 => {
                op = match field.varint().map_err(in_words)? {
                    0 => MatchOp::Equal,
                    1 => MatchOp::NotEqual,
                    2 => MatchOp::Regex,
                    3 => MatchOp::NotRegex,
                    _ => return Err("invalid matcher type".to_owned()),
                }
            }
            2 => name = text()?,
            3 => value = text()?,
            _ => {}
        }
    }
    Matcher::new(op, name, value).map_err(|e| e.to_string())
}

fn in_words(malformed: Malformed) -> String {
    malformed.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_prometheus_asks() {
        let matcher = [0x08, 2, 0x12, 1, b'a', 0x1a, 2, b'.', b'+'];
        let mut query = vec![0x08, 5, 0x10, 0x88, 0x27, 0x1a, 9];
        query.extend(matcher);
        let mut message = vec![0x0a, u8::try_from(query.len()).unwrap()];
        message.extend(&query);
        message.extend([0x12, 2, 1, 0]);
        let body = snap::raw::Encoder::new().compress_vec(&message).unwrap();
        let request = ReadRequest::parse(&body).unwrap();
        assert!(request.streamed && request.whole);
        let [query] = request.queries.as_slice() else { panic!("one query") };
        assert_eq!(query.range, TimeRange::new(Timestamp(5), Timestamp(5000)));
        assert_eq!(query.matchers[0].to_string(), "a=~\".+\"");
        assert!(ReadRequest::parse(b"\xff").is_err());
        assert!(read(&[0x0a, 4, 0x1a, 2, 0x08, 9]).is_err());
    }
}
