//! The receiver of OTLP metrics.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use narthex_config::otlp::Otlp;
use narthex_receive::otlp::{Form, Names, Promote, Settings};
use narthex_receive::{Answer, Failure};

use super::receive::{failed, read_whole};
use super::{Routes, text_error};
use crate::app::App;
use crate::inlet::{Order, Stopping};

/// The kinds of body there are.
const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

pub(super) fn routes() -> Routes {
    Routes::new().route("/otlp/v1/metrics", post(metrics))
}

async fn metrics(State(app): State<Arc<App>>, request: Request) -> Response {
    let inlet = app.parts().and_then(|parts| parts.inlet.as_ref());
    let Some(inlet) = inlet.filter(|_| app.flags.takes_otlp()) else {
        let text = "otlp write receiver needs to be enabled with --web.enable-otlp-receiver";
        return text_error(StatusCode::NOT_FOUND, text);
    };
    let form = match form_of(request.headers()) {
        Ok(form) => form,
        Err(text) => {
            inlet.refused();
            return text_error(StatusCode::BAD_REQUEST, &text);
        }
    };
    let body = match read_whole(inlet, request.into_body()).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let lookback_ms = i64::try_from(app.flags.lookback.as_millis()).unwrap_or(i64::MAX);
    let settings = settings(app.config.load().config.otlp.as_ref(), lookback_ms);
    match inlet.write(body, Order::Otlp(form, Arc::new(settings))).await {
        Ok(outcome) => answer(outcome),
        Err(Stopping) => text_error(StatusCode::SERVICE_UNAVAILABLE, &Stopping.to_string()),
    }
}

/// How the head of a request says that its body is packed.
fn form_of(headers: &HeaderMap) -> Result<Form, String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let kind = text(CONTENT_TYPE);
    let json = match kind.split(';').next().unwrap_or("").trim() {
        JSON => true,
        PROTOBUF => false,
        _ => {
            return Err(format!(
                "unsupported content type: {kind}, supported: [{JSON}, {PROTOBUF}]"
            ));
        }
    };
    match text(CONTENT_ENCODING) {
        "" => Ok(Form { gzip: false, json }),
        "gzip" => Ok(Form { gzip: true, json }),
        other => Err(format!(
            "unsupported compression: {other}. Only \"gzip\" or no compression supported"
        )),
    }
}

fn settings(otlp: Option<&Otlp>, lookback_ms: i64) -> Settings {
    let otlp = otlp.cloned().unwrap_or_default();
    let strategy = otlp.translation_strategy;
    Settings {
        names: Names { suffixes: strategy.has_suffixes(), utf8: strategy.keeps_names() },
        promote: match otlp.promote_all_resource_attributes {
            true => Promote::AllBut(otlp.ignore_resource_attributes),
            false => Promote::Only(otlp.promote_resource_attributes),
        },
        keep_identifying: otlp.keep_identifying_resource_attributes,
        to_custom_buckets: otlp.convert_histograms_to_nhcb,
        promote_scope: otlp.promote_scope_metadata,
        lookback_ms,
    }
}

fn answer(outcome: Result<Answer, Failure>) -> Response {
    match outcome {
        Err(failure) => failed(&failure),
        Ok(answer) => {
            if !answer.notes.is_empty() {
                let notes = answer.notes.join("; ");
                tracing::warn!(
                    err = notes,
                    "Error translating OTLP metrics to Prometheus write request"
                );
            }
            match answer.refused.is_empty() {
                true => StatusCode::OK.into_response(),
                false => text_error(StatusCode::BAD_REQUEST, &answer.refused.to_string()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_head_tells_the_form() {
        let of = |kind: &'static str, encoding: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            if let Some(encoding) = encoding {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
            }
            form_of(&headers)
        };
        assert_eq!(of(PROTOBUF, None), Ok(Form { gzip: false, json: false }));
        assert_eq!(
            of("application/json; charset=utf-8", Some("gzip")),
            Ok(Form { gzip: true, json: true })
        );
        assert_eq!(
            of("text/plain", None).unwrap_err(),
            "unsupported content type: text/plain, supported: [application/json, \
             application/x-protobuf]"
        );
        assert!(of(PROTOBUF, Some("snappy")).unwrap_err().starts_with("unsupported compression"));
    }
}
