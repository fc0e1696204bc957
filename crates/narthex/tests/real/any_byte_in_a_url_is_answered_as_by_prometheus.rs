//! Every byte that a URL may or may not have, as it is, in a path and in a query.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use narthex_testkit::peers;
use serde_json::Value;

use crate::node::Node;

/// The status and the body of an answer to `GET target`.
fn ask(port: u16, target: &[u8]) -> (String, Value) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let request = [b"GET ", target, b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"].concat();
    stream.write_all(&request).unwrap();
    let mut answer = Vec::new();
    // A refused request may end in a reset, after the answer.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let mut body: Value = serde_json::from_str(body).unwrap_or(Value::Null);
    // A string has the time at which it was asked for.
    if let Some(time) = body.pointer_mut("/data/result/0") {
        *time = Value::Null;
    }
    (head.lines().next().unwrap_or("").to_owned(), body)
}

#[test]
fn any_byte_in_a_url_is_answered_as_by_prometheus() {
    let Some(prometheus) = peers::find("prometheus") else { return };
    let config = "scrape_configs: []\n";
    let theirs = Node::start(&prometheus, config, &[]);
    let ours = Node::narthex(config);
    let mut different = Vec::new();
    for byte in 0..=u8::MAX {
        for (before, after) in [
            (&b"/api/v1/query?query=up{a="[..], &b"x\"}"[..]),
            (b"/api/v1/query?query='a", b"b'"),
            (b"/api/v1/query?query=1&x", b""),
            (b"/api/v1/label/a", b"b/values"),
            (b"/nowhere", b""),
        ] {
            let target = [before, &[byte], after].concat();
            let (ours, theirs) = (ask(ours.port, &target), ask(theirs.port, &target));
            if ours != theirs {
                let target = target.escape_ascii().to_string();
                different.push(format!("{target}: {ours:?}, Prometheus {theirs:?}"));
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    let quoted = b"/api/v1/query?query=count_values(\"v\",vector(1)){}".as_slice();
    assert!(ask(ours.port, quoted).0.contains("400"), "no such expression");
    let quoted = b"/api/v1/query?query=count_values(\"v\",vector(1))".as_slice();
    assert!(ask(ours.port, quoted).0.contains("200"));
}
