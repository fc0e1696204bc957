use super::*;

fn decode(pieces: &[&[u8]]) -> Result<Option<Vec<u8>>, &'static str> {
    let mut chunks = Chunks { decoded: 0, next: 0, left: 0, state: ChunkState::Size };
    let mut buffer = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        if chunks.advance(&mut buffer)? {
            buffer.truncate(chunks.decoded);
            return Ok(Some(buffer));
        }
        let waiting = buffer.len() - chunks.next;
        buffer.copy_within(chunks.next.., chunks.decoded);
        buffer.truncate(chunks.decoded + waiting);
        chunks.next = chunks.decoded;
    }
    Ok(None)
}

#[test]
fn decodes_chunks_cut_anywhere() {
    let wire = b"5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nA: b\r\n\r\n";
    for a in 0..wire.len() {
        for b in a..wire.len() {
            let got = decode(&[&wire[..a], &wire[a..b], &wire[b..]]).unwrap();
            assert_eq!(got.as_deref(), Some(&b"hello world"[..]), "{a} {b}");
        }
        assert_eq!(decode(&[&wire[..a]]), Ok(None));
    }
    assert!(decode(&[b"5\r\nhelloX\r\n"]).is_err());
    assert!(decode(&[b"\r\n"]).is_err());
    assert!(decode(&[b"fffffffffffffffff\r\n"]).is_err());
    assert!(decode(&[b"-1\r\n"]).is_err());
}

#[test]
fn reads_heads_as_the_rules_say() {
    let parse = |text: &str| parse_head(text.as_bytes(), false);
    let head = parse("HTTP/1.1 200 OK\r\nX: \r\nConnection: Keep-Alive, Close\r\n\r\n");
    let head = head.unwrap().unwrap();
    assert_eq!((head.framing, head.keep_alive), (Framing::UntilClose, false));
    assert_eq!(head.headers["x"], "");
    let head = parse("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 7\r\n\r\n");
    let head = head.unwrap().unwrap();
    assert_eq!((head.framing, head.keep_alive), (Framing::Length(7), true));
    let head = parse("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n");
    let head = head.unwrap().unwrap();
    assert_eq!((head.framing, head.keep_alive), (Framing::Chunked, false));
    assert!(parse("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n").is_err());
    assert!(parse("HTTP/1.1 200 OK\r\nContent-Length: +7\r\n\r\n").is_err());
    assert!(parse("SSH-2.0-OpenSSH\r\n").is_err());
    assert!(parse("HTTP/1.1 200 OK\r\nX: y\r\n").unwrap().is_none());
}
