//! The query log: a JSON object per query, with the keys that Prometheus writes, and the log of
//! failed scrapes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::{ArcSwap, ArcSwapOption};
use narthex_config::Config;
use narthex_model::{Clock, Timestamp};

use crate::clock::rfc3339;
use crate::engine::When;
use crate::file_log::FileLog;
use crate::web::json::Object;

/// Who asked.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The client's address.
    pub client: Option<IpAddr>,
    /// The method of the request.
    pub method: String,
    /// The path of the request, with the route prefix.
    pub path: String,
}

/// What is told of a query.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The expression.
    pub query: &'a str,
    /// Its instants.
    pub when: When,
    /// Who asked.
    pub origin: &'a Origin,
    /// What went wrong.
    pub error: Option<&'a str>,
    /// The statistics as the API shows them.
    pub stats: &'a [u8],
}

/// The files that the configuration names for what happened.
#[derive(Debug, Default)]
pub struct FileLogs {
    queries: ArcSwapOption<FileLog>,
    scrapes: ArcSwap<BTreeMap<String, FileLog>>,
    clock: Option<Arc<dyn Clock>>,
    /// Lines of the query log that were lost.
    pub query_failures: Arc<AtomicU64>,
    /// Lines of the logs of failed scrapes that were lost.
    pub scrape_failures: Arc<AtomicU64>,
}

impl FileLogs {
    /// No file is open yet; `clock` gives the times of the lines.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock: Some(clock), ..Self::default() }
    }

    /// Opens the files of a configuration anew, so that files that were moved away are let go.
    ///
    /// # Errors
    /// A text that names the file that cannot be opened; all is then as it was.
    pub fn apply(&self, config: &Config, base: &Path) -> Result<(), String> {
        let open = |name: &str, failures: &Arc<AtomicU64>| {
            let path: PathBuf = base.join(name);
            FileLog::open(&path, Arc::clone(failures))
                .map_err(|e| format!("can't create json log file {}: {e}", path.display()))
        };
        let queries = match &config.global.query_log_file {
            Some(name) => Some(Arc::new(open(name, &self.query_failures)?)),
            None => None,
        };
        let mut scrapes = BTreeMap::new();
        for name in config.scrape_configs.iter().filter_map(|c| c.scrape_failure_log_file.as_ref())
        {
            if !scrapes.contains_key(name) {
                scrapes.insert(name.clone(), open(name, &self.scrape_failures)?);
            }
        }
        self.queries.store(queries);
        self.scrapes.store(Arc::new(scrapes));
        Ok(())
    }

    /// Writes what is left and closes the files.
    pub fn close(&self) {
        self.queries.store(None);
        self.scrapes.store(Arc::default());
    }

    /// Whether queries are logged.
    pub fn logs_queries(&self) -> bool {
        self.queries.load().is_some()
    }

    /// Logs a query.
    pub fn query(&self, entry: &Entry<'_>) {
        let Some(log) = &*self.queries.load() else { return };
        let mut line = Vec::with_capacity(512 + entry.query.len());
        put_query(&mut line, &self.now(), entry);
        line.push(b'\n');
        log.write(line);
    }

    fn now(&self) -> String {
        rfc3339(self.clock.as_ref().map_or(Timestamp(0), |clock| clock.now()))
    }
}

impl narthex_scrape::FailureLog for FileLogs {
    fn failed(&self, file: &str, job: &str, target: &str, error: &str) {
        let scrapes = self.scrapes.load();
        let Some(log) = scrapes.get(file) else { return };
        let mut line = Vec::with_capacity(256);
        let mut object = Object::begin(&mut line);
        object
            .text("time", &self.now())
            .text("level", "ERROR")
            .text("source", concat!("query_log.rs:", line!()))
            .text("msg", error)
            .text("job_name", job)
            .text("target", target);
        object.end();
        line.push(b'\n');
        log.write(line);
    }
}

fn put_query(line: &mut Vec<u8>, now: &str, entry: &Entry<'_>) {
    let (start, end, step) = match entry.when {
        When::At(at) => (at, at, 0),
        When::Range { start, end, step } => (start, end, step.as_secs()),
    };
    let mut object = Object::begin(line);
    object
        .text("time", now)
        .text("level", "INFO")
        .text("source", concat!("query_log.rs:", line!()))
        .text("msg", "promql query logged");
    let mut params = Object::begin(object.field("params"));
    params
        .text("end", &rfc3339(end))
        .text("query", entry.query)
        .text("start", &rfc3339(start))
        .plain("step", step);
    params.end();
    if let Some(error) = entry.error {
        object.text("error", error);
    }
    object.field("stats").extend_from_slice(entry.stats);
    object.text("spanID", "0000000000000000");
    let mut request = Object::begin(object.field("httpRequest"));
    let client = entry.origin.client.map(|ip| ip.to_string()).unwrap_or_default();
    request
        .text("clientIP", &client)
        .text("method", &entry.origin.method)
        .text("path", &entry.origin.path);
    request.end();
    object.end();
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_keys_are_those_of_prometheus() {
        let origin = Origin {
            client: Some([127, 0, 0, 1].into()),
            method: "GET".to_owned(),
            path: "/p/api/v1/query_range".to_owned(),
        };
        let entry = |error| Entry {
            query: "a\"b",
            when: When::Range {
                start: Timestamp(1500),
                end: Timestamp(4000),
                step: Duration::from_millis(2500),
            },
            origin: &origin,
            error,
            stats: b"{}",
        };
        let text = |error| {
            let mut out = Vec::new();
            put_query(&mut out, "T", &entry(error));
            let text = String::from_utf8(out).unwrap();
            let (head, rest) = text.split_once("\"source\":\"").unwrap();
            format!("{head}{}", rest.split_once("\",").unwrap().1)
        };
        let params = r#""params":{"end":"1970-01-01T00:00:04.000Z","query":"a\"b","start":"1970-01-01T00:00:01.500Z","step":2}"#;
        let request = r#""httpRequest":{"clientIP":"127.0.0.1","method":"GET","path":"/p/api/v1/query_range"}"#;
        assert_eq!(
            text(None),
            format!(
                r#"{{"time":"T","level":"INFO","msg":"promql query logged",{params},"stats":{{}},"spanID":"0000000000000000",{request}}}"#
            )
        );
        assert!(text(Some("bad")).contains(&format!(r#"{params},"error":"bad","stats""#)));
    }
}
