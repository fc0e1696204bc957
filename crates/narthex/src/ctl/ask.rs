//! Asking a running server: `healthy` and `ready`.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use super::{HELP, Outcome, say};
use crate::flags;

/// Where the server is asked unless told otherwise.
const URL_DEFAULT: &str = "http://localhost:9090";

/// Longest wait for each step of an answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// Whether the server that `rest` names answers `path` with 200, and what it says.
pub(super) fn run(rest: &[&str], path: &str, out: &mut dyn Write) -> Outcome {
    let text = ask(&url(rest)?, "GET", path)?;
    say(out, &text)
}

fn url(rest: &[&str]) -> Result<String, String> {
    match rest {
        [] => Ok(url_default()),
        ["--url", url] => Ok((*url).to_owned()),
        [word] => match word.strip_prefix("--url=") {
            Some(url) => Ok(url.to_owned()),
            None => Err(format!("unexpected {word}\n")),
        },
        _ => Err(HELP.to_owned()),
    }
}

/// The server that is asked unless told otherwise.
pub(super) fn url_default() -> String {
    url_of_first_process().unwrap_or_else(|| URL_DEFAULT.to_owned())
}

/// Where the server listens that this container was started for: an image's health check does not
/// know the flags that its user gave.
fn url_of_first_process() -> Option<String> {
    let line = std::fs::read("/proc/1/cmdline").ok()?;
    let line = String::from_utf8_lossy(&line);
    url_of_command(line.trim_end_matches('\0').split('\0'))
}

/// Where the server of this command line listens; an init (`docker-init --`) may stand before it.
fn url_of_command<'a>(words: impl Iterator<Item = &'a str>) -> Option<String> {
    let program = |word: &str| Path::new(word).file_name().is_some_and(|name| name == "narthex");
    let words = words.skip_while(|word| !program(word)).map(str::to_owned);
    let flags = flags::parse(words).ok()?;
    let (host, port) = flags.listen.first()?.rsplit_once(':')?;
    let host = match host {
        "" | "0.0.0.0" | "[::]" => "localhost",
        host => host,
    };
    Some(format!("http://{host}:{port}{}", flags.route_prefix))
}

/// Asks for a path and wants 200. Plain HTTP/1.0 is enough for a server that we wrote.
pub(super) fn ask(base: &str, method: &str, path: &str) -> Result<String, String> {
    let url = url::Url::parse(base).map_err(|e| format!("--url: {e}\n"))?;
    if url.scheme() != "http" {
        return Err(format!("--url: {} is not supported, only http\n", url.scheme()));
    }
    let host = url.host_str().ok_or("--url: no host\n")?;
    let port = url.port_or_known_default().unwrap_or(80);
    let path = format!("{}{path}", url.path().trim_end_matches('/'));
    let answer =
        exchange(host, port, method, &path).map_err(|e| format!("{host}:{port}: {e}\n"))?;
    let status = answer.split(' ').nth(1).unwrap_or("");
    let text = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).trim();
    if status == "200" { Ok(format!("{text}\n")) } else { Err(format!("{status} {text}\n")) }
}

fn exchange(host: &str, port: u16, method: &str, path: &str) -> std::io::Result<String> {
    let mut last = std::io::Error::other("no address");
    for address in (host.trim_matches(['[', ']']), port).to_socket_addrs()? {
        let mut stream = match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(stream) => stream,
            Err(error) => {
                last = error;
                continue;
            }
        };
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let request = format!("{method} {path} HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
        return Ok(String::from_utf8_lossy(&answer).into_owned());
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_found_by_its_command_line() {
        let url = |line: &str| url_of_command(line.split(' ')).unwrap();
        assert_eq!(url("/bin/narthex --config.file=x.yml"), "http://localhost:9090");
        assert_eq!(url("narthex --web.listen-address=:9095"), "http://localhost:9095");
        assert_eq!(url("narthex --web.listen-address 10.0.0.7:80"), "http://10.0.0.7:80");
        assert_eq!(url("narthex --web.listen-address=[::]:9091"), "http://localhost:9091");
        let prefixed = "/sbin/docker-init -- /bin/narthex --web.external-url=http://h/prometheus/";
        assert_eq!(url(prefixed), "http://localhost:9090/prometheus");
    }

    #[test]
    fn another_first_process_is_not_taken_for_the_server() {
        let url = |line: &str| url_of_command(line.split(' '));
        assert_eq!(url("narthex --no-such-flag"), None);
        assert_eq!(url("/sbin/init").as_deref(), Some(URL_DEFAULT));
    }
}
