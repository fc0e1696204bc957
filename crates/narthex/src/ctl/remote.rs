//! `ctl remote`: how remote write is doing, and what a receiver refused offered again.

use std::io::Write;

use super::args::{Args, parse_time};
use super::{HELP, Outcome, ask, say};

/// Runs `ctl remote status` or `ctl remote resend`.
pub(super) fn run(rest: &[&str], out: &mut dyn Write) -> Outcome {
    let args = Args::parse(rest, &["url", "from", "to"])?;
    let base = args.last("url").map_or_else(ask::url_default, str::to_owned);
    match args.words.as_slice() {
        ["status"] => say(out, &ask::ask(&base, "GET", "/api/v1/narthex/remote?format=text")?),
        ["resend", name] => {
            let answer = ask::ask(&base, "POST", &resend_path(name, &args)?)?;
            say(out, &format!("samples are offered to {name} again: {}\n", rows(&answer)))
        }
        _ => Err(HELP.to_owned()),
    }
}

fn resend_path(name: &str, args: &Args<'_>) -> Result<String, String> {
    let time = |flag: &str| {
        let text = args.last(flag).ok_or(format!("--{flag} is missing\n"))?;
        parse_time(text).ok_or(format!(
            "--{flag}: {text:?} is neither RFC 3339 nor seconds or milliseconds since 1970\n"
        ))
    };
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("name", name);
    query.append_pair("start", &time("from")?.seconds().to_string());
    query.append_pair("end", &time("to")?.seconds().to_string());
    Ok(format!("/api/v1/narthex/remote/resend?{}", query.finish()))
}

/// How much an answer says is looked at.
fn rows(answer: &str) -> String {
    let number = answer.split_once("\"rows\":").map_or("", |(_, rest)| rest);
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    format!("up to {digits} rows of all targets")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_asked_for_as_the_api_reads_it() {
        let words = ["resend", "a b", "--from", "2026-11-21T09:46:29.5Z", "--to=1795254400"];
        let args = Args::parse(&words, &["from", "to"]).unwrap();
        assert_eq!(
            resend_path("a b", &args).unwrap(),
            "/api/v1/narthex/remote/resend?name=a+b&start=1795254389.5&end=1795254400"
        );
        let args = Args::parse(&["--from=1"], &["from", "to"]).unwrap();
        assert_eq!(resend_path("a", &args).unwrap_err(), "--to is missing\n");
        assert_eq!(
            rows(r#"{"status":"success","data":{"rows":12}}"#),
            "up to 12 rows of all targets"
        );
    }
}
