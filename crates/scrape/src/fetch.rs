//! One request to a target: what is asked for, and what the answer's format is.

use std::fmt::Write as _;

use narthex_config::ScrapeConfig;
use narthex_config::global::EscapingScheme;
use narthex_config::scrape::ScrapeProtocol;
use narthex_expo::Format;
use narthex_model::number::GoQuoted;
use narthex_net::{HeaderName, HeaderValue};

use crate::error::ScrapeError;

/// A body may have this many bytes when the configuration sets no limit of its own, so that no
/// target can fill the memory.
pub const BODY_BYTES_MAX: usize = 16 << 20;

/// The request's headers, made once for a target.
pub(crate) fn headers(
    config: &ScrapeConfig,
    timeout: std::time::Duration,
    user_agent: &str,
) -> Vec<(HeaderName, HeaderValue)> {
    let escaping = config.metric_name_escaping_scheme.map_or("allow-utf-8", EscapingScheme::as_str);
    let encoding = if config.enable_compression { "gzip" } else { "identity" };
    let timeout = narthex_model::number::PlainFloat(timeout.as_secs_f64()).to_string();
    [
        ("accept", accept(&config.scrape_protocols, escaping)),
        ("accept-encoding", encoding.to_owned()),
        ("user-agent", user_agent.to_owned()),
        ("x-prometheus-scrape-timeout-seconds", timeout),
    ]
    .into_iter()
    .filter_map(|(name, value)| {
        Some((HeaderName::from_static(name), HeaderValue::from_str(&value).ok()?))
    })
    .collect()
}

/// One media type for each protocol, the first preferred.
fn accept(protocols: &[ScrapeProtocol], escaping: &str) -> String {
    const HIGHEST: usize = 6;
    let mut text = String::new();
    let mut quality = HIGHEST;
    for protocol in protocols {
        let (media_type, escaped) = match protocol {
            ScrapeProtocol::PrometheusText0_0_4 => ("text/plain;version=0.0.4", false),
            ScrapeProtocol::PrometheusText1_0_0 => ("text/plain;version=1.0.0", true),
            ScrapeProtocol::OpenMetricsText0_0_1 => {
                ("application/openmetrics-text;version=0.0.1", false)
            }
            ScrapeProtocol::OpenMetricsText1_0_0 => {
                ("application/openmetrics-text;version=1.0.0", true)
            }
            ScrapeProtocol::PrometheusProto => (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
                 encoding=delimited",
                false,
            ),
        };
        text.push_str(media_type);
        if escaped {
            let _ = write!(text, ";escaping={escaping}");
        }
        let _ = write!(text, ";q=0.{quality},");
        quality = quality.saturating_sub(1).max(1);
    }
    let _ = write!(text, "*/*;q=0.{quality}");
    text
}

/// How a body is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text(Format),
    /// Metric families in protobuf, each behind its length.
    Protobuf,
}

/// What a Content-Type declares, or the configured fallback.
pub(crate) fn kind(
    content_type: Option<&str>,
    fallback: Option<ScrapeProtocol>,
) -> Result<Kind, ScrapeError> {
    let content_type = content_type.unwrap_or("").trim();
    let media_type = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    match media_type.as_str() {
        "text/plain" => return Ok(Kind::Text(Format::Text)),
        "application/openmetrics-text" => return Ok(Kind::Text(Format::OpenMetrics)),
        "application/vnd.google.protobuf" => return Ok(Kind::Protobuf),
        _ => {}
    }
    match fallback {
        Some(ScrapeProtocol::OpenMetricsText0_0_1 | ScrapeProtocol::OpenMetricsText1_0_0) => {
            return Ok(Kind::Text(Format::OpenMetrics));
        }
        Some(ScrapeProtocol::PrometheusText0_0_4 | ScrapeProtocol::PrometheusText1_0_0) => {
            return Ok(Kind::Text(Format::Text));
        }
        Some(ScrapeProtocol::PrometheusProto) => return Ok(Kind::Protobuf),
        None => {}
    }
    let quoted = GoQuoted(content_type);
    let text = if content_type.is_empty() {
        "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol \
         specified for target"
            .to_owned()
    } else if media_type.contains('/') {
        format!(
            "received unsupported Content-Type {quoted} and no fallback_scrape_protocol specified \
             for target"
        )
    } else {
        format!("cannot parse Content-Type {quoted} and no fallback_scrape_protocol for target")
    };
    Err(ScrapeError::ContentType(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_names_each_protocol_once() {
        use ScrapeProtocol::{
            OpenMetricsText0_0_1, OpenMetricsText1_0_0, PrometheusText0_0_4, PrometheusText1_0_0,
        };
        let default = accept(
            &[OpenMetricsText1_0_0, OpenMetricsText0_0_1, PrometheusText1_0_0, PrometheusText0_0_4],
            "allow-utf-8",
        );
        assert_eq!(
            default,
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        );
        assert_eq!(
            accept(&[PrometheusText1_0_0], "underscores"),
            "text/plain;version=1.0.0;escaping=underscores;q=0.6,*/*;q=0.5"
        );
    }

    #[test]
    fn formats() {
        let of = |text| kind(Some(text), None);
        let text = Kind::Text(Format::Text);
        assert_eq!(of("text/plain; version=0.0.4; charset=utf-8").expect("text"), text);
        let binary = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                      encoding=delimited";
        assert_eq!(of(binary).expect("binary"), Kind::Protobuf);
        assert!(matches!(
            of("application/openmetrics-text; version=1.0.0"),
            Ok(Kind::Text(Format::OpenMetrics))
        ));
        let error = of("text/html").expect_err("no metrics").to_string();
        assert!(error.starts_with("received unsupported Content-Type \"text/html\" and no"));
        assert!(of("").expect_err("blank").to_string().contains("blank Content-Type"));
        let fallback = Some(ScrapeProtocol::PrometheusText0_0_4);
        assert_eq!(kind(Some("text/html"), fallback).expect("fallback"), text);
        assert_eq!(kind(None, fallback).expect("fallback"), text);
    }
}
