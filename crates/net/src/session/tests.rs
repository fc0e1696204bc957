use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;
use crate::dial::{Memory, MemoryListener};

fn assert_send<T: Send>(value: T) -> T {
    value
}

fn session(memory: &Arc<Memory>, url: &str) -> Session {
    Client::plain(Arc::clone(memory) as _).session(&Url::parse(url).unwrap())
}

async fn get(session: &mut Session, body: &mut Vec<u8>) -> Result<Head, Error> {
    let request = Request::get(&[], Duration::from_secs(5), 1 << 20);
    assert_send(session.send(&request, body)).await
}

/// Reads one request up to the end of its head; `None` when the client has gone.
async fn request(stream: &mut DuplexStream) -> Option<String> {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(text).unwrap())
}

/// Answers each request on each connection with the next of `answers`; an empty answer closes
/// the connection. Counts the connections.
fn serve(mut listener: MemoryListener, answers: Vec<Vec<u8>>) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        let mut answers = answers.into_iter();
        while let Some(mut stream) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            while request(&mut stream).await.is_some() {
                let Some(answer) = answers.next() else { return };
                if answer.is_empty() {
                    break;
                }
                for piece in answer.chunks(7) {
                    if stream.write_all(piece).await.is_err() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                if answer.windows(5).any(|w| w == b"close") {
                    break;
                }
            }
        }
    });
    count
}

fn answer(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

#[tokio::test]
async fn keeps_the_connection_and_reads_every_framing() {
    let memory = Arc::new(Memory::new());
    let count = serve(
        memory.listen("a", 80),
        vec![
            answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"),
            answer(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n\
                 A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n",
            ),
            answer("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"),
            answer("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\nto the end"),
            answer("HTTP/1.0 200 OK\r\n\r\nclose"),
        ],
    );
    let mut session = session(&memory, "http://a/metrics?x=1");
    let mut body = Vec::new();
    let head = get(&mut session, &mut body).await.unwrap();
    assert_eq!((head.status.as_u16(), &body[..], head.wire_bytes), (200, &b"abc"[..], 3));
    let head = get(&mut session, &mut body).await.unwrap();
    assert_eq!((&body[..], head.delimited), (&b"abc0123456789"[..], true));
    let head = get(&mut session, &mut body).await.unwrap();
    assert_eq!((head.status.as_u16(), body.len()), (204, 0));
    assert_eq!(count.load(Ordering::SeqCst), 1);
    let head = get(&mut session, &mut body).await.unwrap();
    assert_eq!((head.status.as_u16(), &body[..], head.delimited), (503, &b"to the end"[..], false));
    get(&mut session, &mut body).await.unwrap();
    assert_eq!(body, b"close");
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn reconnects_once_when_an_idle_connection_was_closed() {
    let memory = Arc::new(Memory::new());
    let ok = answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
    let count = serve(memory.listen("a", 80), vec![ok.clone(), vec![], ok, vec![], vec![]]);
    let mut session = session(&memory, "http://a/");
    let mut body = Vec::new();
    get(&mut session, &mut body).await.unwrap();
    get(&mut session, &mut body).await.unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 2);
    let error = get(&mut session, &mut body).await.unwrap_err();
    assert_eq!(error.to_string(), r#"Get "http://a/": EOF"#);
    assert_eq!(count.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn takes_a_strange_status_and_encoding_as_they_are() {
    let memory = Arc::new(Memory::new());
    let text = "HTTP/1.1 599 Odd Thing\r\nContent-Encoding: utf-8\r\nContent-Length: 1\r\n\r\nx";
    serve(
        memory.listen("a", 80),
        vec![answer(text), answer("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")],
    );
    let mut session = session(&memory, "http://a/");
    let mut body = Vec::new();
    let head = get(&mut session, &mut body).await.unwrap();
    assert_eq!((head.status_text().as_str(), body.as_slice()), ("599 Odd Thing", &b"x"[..]));
    let head = get(&mut session, &mut body).await.unwrap();
    assert_eq!((head.status_text().as_str(), head.reason), ("404 Not Found", None));
}

#[tokio::test]
async fn refuses_what_it_should() {
    for (text, want) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nclo", "unexpected EOF"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "unexpected EOF"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "invalid byte in chunk length",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", "body size limit exceeded"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            r#"Get "http://a/": bad Content-Length "2""#,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx",
            r#"unsupported content encoding "br""#,
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
            r#"Get "http://a/": http: no Host in request URL"#,
        ),
    ] {
        let memory = Arc::new(Memory::new());
        let mut listener = memory.listen("a", 80);
        let text = text.to_owned();
        tokio::spawn(async move {
            let mut stream = listener.accept().await.unwrap();
            request(&mut stream).await.unwrap();
            stream.write_all(text.as_bytes()).await.unwrap();
        });
        let error = get(&mut session(&memory, "http://a/"), &mut Vec::new()).await.unwrap_err();
        let got = error
            .to_string()
            .replace(r#"unsupported protocol scheme "file""#, "http: no Host in request URL");
        assert_eq!(got, want);
    }
    let memory = Arc::new(Memory::new());
    let error = get(&mut session(&memory, "http://u:pw@nobody:9/"), &mut Vec::new()).await;
    assert_eq!(
        error.unwrap_err().to_string(),
        r#"Get "http://u:***@nobody:9/": dial tcp nobody:9: connect: connection refused"#
    );
}

#[tokio::test(start_paused = true)]
async fn holds_one_deadline_over_head_and_body() {
    let memory = Arc::new(Memory::new());
    let mut listener = memory.listen("a", 80);
    tokio::spawn(async move {
        let mut held = Vec::new();
        for text in ["", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"] {
            let mut stream = listener.accept().await.unwrap();
            request(&mut stream).await.unwrap();
            stream.write_all(text.as_bytes()).await.unwrap();
            held.push(stream);
        }
        std::future::pending::<()>().await;
    });
    let mut session = session(&memory, "http://a/");
    let mut body = Vec::new();
    let error = get(&mut session, &mut body).await.unwrap_err();
    assert_eq!(error.to_string(), r#"Get "http://a/": context deadline exceeded"#);
    let error = get(&mut session, &mut body).await.unwrap_err();
    assert_eq!(error.to_string(), "context deadline exceeded");
    assert!(error.is_timeout() && body.is_empty());
}

#[tokio::test]
async fn follows_redirects_without_giving_secrets_away() {
    let memory = Arc::new(Memory::new());
    let mut first = memory.listen("a", 80);
    let mut second = memory.listen("b", 81);
    let seen = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let (seen_a, seen_b) = (Arc::clone(&seen), Arc::clone(&seen));
    tokio::spawn(async move {
        let mut stream = first.accept().await.unwrap();
        while let Some(text) = request(&mut stream).await {
            let to = if text.contains("GET /1 ") { "/2" } else { "http://b:81/3" };
            seen_a.lock().push(text);
            let text = format!("HTTP/1.1 302 F\r\nLocation: {to}\r\nContent-Length: 2\r\n\r\nxx");
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    });
    tokio::spawn(async move {
        let mut stream = second.accept().await.unwrap();
        while let Some(text) = request(&mut stream).await {
            seen_b.lock().push(text);
            let text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    });
    let mut session = session(&memory, "http://u:p@a/1");
    let mut body = Vec::new();
    for _ in 0..2 {
        get(&mut session, &mut body).await.unwrap();
        assert_eq!(body, b"ok");
    }
    let seen = seen.lock();
    assert_eq!(seen.len(), 6);
    assert!(seen[0].contains("Authorization: Basic dTpw\r\n"), "{}", seen[0]);
    assert!(seen[1].starts_with("GET /2 ") && seen[1].contains("Authorization"));
    assert!(seen[2].starts_with("GET /3 ") && !seen[2].contains("Authorization"));
    assert!(seen[2].contains("Host: b:81\r\n"));
}
