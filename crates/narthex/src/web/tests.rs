//! The router as a client sees it, without sockets.

use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;

use super::*;
use crate::app::Command;
use crate::clock::SystemClock;

struct Asked {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Asked {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

fn app(flags: &[&str]) -> (Arc<App>, tokio::sync::mpsc::Receiver<Command>) {
    let args = ["narthex"].iter().chain(flags).map(|arg| (*arg).to_owned());
    let flags = crate::flags::parse(args).unwrap();
    let (app, commands) = App::new(flags, Arc::new(SystemClock::new())).unwrap();
    app.enter(Phase::Ready);
    (app, commands)
}

async fn send(app: &Arc<App>, request: Request<Body>) -> Asked {
    let response = TowerToHyperService::new(router(app)).call(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    Asked { status: head.status, headers: head.headers, body }
}

async fn ask(app: &Arc<App>, method: &str, path: &str) -> Asked {
    send(app, Request::builder().method(method).uri(path).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn unknown_paths_and_methods() {
    let (app, _commands) = app(&[]);
    let missing = ask(&app, "GET", "/api/v1/nosuch").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert_eq!(missing.text(), "404 page not found\n");
    let wrong = ask(&app, "BREW", "/api/v1/rules").await;
    assert_eq!(wrong.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(wrong.text(), "Method Not Allowed\n");
}

#[tokio::test]
async fn nothing_of_the_api_before_the_replay_is_done() {
    let (app, _commands) = app(&[]);
    for (phase, stopping) in [(Phase::Starting, "false"), (Phase::Stopping, "true")] {
        app.enter(phase);
        for path in ["/api/v1/query?query=1", "/-/ready", "/federate"] {
            let answer = ask(&app, "GET", path).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
            assert_eq!(answer.text(), "Service Unavailable\n");
            assert_eq!(answer.header("x-prometheus-stopping"), stopping);
        }
        assert_eq!(ask(&app, "GET", "/-/healthy").await.status, StatusCode::OK);
        assert_eq!(ask(&app, "GET", "/metrics").await.status, StatusCode::OK);
        assert_eq!(ask(&app, "GET", "/api/v1/status/walreplay").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn origins_are_answered_by_pattern() {
    let (app, _commands) = app(&["--web.cors.origin=https?://a\\.b"]);
    for (origin, want) in [("http://a.b", "http://a.b"), ("http://axb", ""), ("x", "")] {
        let request = Request::get("/api/v1/alerts").header("Origin", origin);
        let answer = send(&app, request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.header("access-control-allow-origin"), want);
        assert_eq!(answer.header("vary"), "Origin");
    }
    let preflight = ask(&app, "OPTIONS", "/api/v1/query").await;
    assert_eq!(preflight.status, StatusCode::NO_CONTENT);
    assert!(preflight.body.is_empty());
}

#[tokio::test]
async fn large_answers_are_compressed_when_asked() {
    use std::io::Read as _;
    let (app, _commands) = app(&[]);
    let plain = ask(&app, "GET", "/api/v1/status/flags").await;
    let request = Request::get("/api/v1/status/flags").header("Accept-Encoding", "br, gzip;q=0.5");
    let packed = send(&app, request.body(Body::empty()).unwrap()).await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed.body.as_slice()).read_to_string(&mut text).unwrap();
    assert_eq!(text, plain.text());
    let request = Request::get("/api/v1/alerts").header("Accept-Encoding", "gzip");
    let small = send(&app, request.body(Body::empty()).unwrap()).await;
    assert_eq!(small.header("content-encoding"), "");
    let request = Request::get("/api/v1/status/flags").header("Accept-Encoding", "gzip;q=0");
    let refused = send(&app, request.body(Body::empty()).unwrap()).await;
    assert_eq!(refused.header("content-encoding"), "");
}

#[tokio::test]
async fn a_prefix_stands_before_everything() {
    let (app, _commands) = app(&["--web.external-url=http://x.y/mon/"]);
    assert_eq!(ask(&app, "GET", "/mon/-/healthy").await.status, StatusCode::OK);
    assert_eq!(ask(&app, "GET", "/-/healthy").await.status, StatusCode::NOT_FOUND);
    let api = ask(&app, "GET", "/mon/api/v1/alerts").await;
    assert_eq!(api.text(), r#"{"status":"success","data":{"alerts":[]}}"#);
    let page = ask(&app, "GET", "/mon/graph").await;
    assert_eq!(page.header("location"), "/mon/");
    assert_eq!(ask(&app, "GET", "/mon/").await.status, StatusCode::OK);
    let counted = ask(&app, "GET", "/mon/metrics").await.text();
    let want = "prometheus_http_requests_total{code=\"200\",handler=\"/api/v1/alerts\"} 1\n";
    assert!(counted.contains(want), "{counted}");
}

#[tokio::test]
async fn reload_only_when_enabled() {
    let (off, _commands) = app(&[]);
    let refused = ask(&off, "POST", "/-/reload").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.text(), "Lifecycle API is not enabled.");
    assert_eq!(ask(&off, "GET", "/-/reload").await.status, StatusCode::METHOD_NOT_ALLOWED);
    let (on, mut commands) = app(&["--web.enable-lifecycle"]);
    tokio::spawn(async move {
        let mut outcomes = vec![Ok(()), Err("bad file".to_owned())].into_iter();
        while let Some(Command::Reload(answer)) = commands.recv().await {
            answer.send(outcomes.next().unwrap()).unwrap();
        }
    });
    assert_eq!(ask(&on, "PUT", "/-/reload").await.status, StatusCode::OK);
    let failed = ask(&on, "POST", "/-/reload").await;
    assert_eq!(failed.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(failed.text(), "failed to reload config: bad file\n");
}

#[tokio::test]
async fn what_is_off_or_empty_says_so() {
    let (app, _commands) = app(&[]);
    let write = ask(&app, "POST", "/api/v1/write").await;
    assert_eq!(write.status, StatusCode::NOT_FOUND);
    assert!(write.text().contains("--web.enable-remote-write-receiver"));
    let admin = ask(&app, "POST", "/api/v1/admin/tsdb/snapshot").await;
    assert_eq!(admin.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        admin.text(),
        r#"{"status":"error","errorType":"unavailable","error":"admin APIs disabled"}"#
    );
    assert_eq!(ask(&app, "POST", "/api/v1/read").await.status, StatusCode::BAD_REQUEST);
    let rules = ask(&app, "GET", "/api/v1/rules?type=x").await;
    assert_eq!(
        rules.text(),
        concat!(
            r#"{"status":"error","errorType":"bad_data","error":"#,
            r#""invalid parameter \"type\": not supported value \"x\""}"#
        )
    );
}

#[tokio::test]
async fn a_form_that_is_too_large_is_refused() {
    let (app, _commands) = app(&[]);
    let form = vec![b'a'; params::FORM_BYTES_MAX + 1];
    let request = Request::post("/api/v1/query")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(Body::from(form))
        .unwrap();
    let answer = send(&app, request).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.text().contains("error parsing form values"));
}
