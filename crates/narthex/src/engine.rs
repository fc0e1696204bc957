//! Asks PromQL on the query pool, in the API's terms.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use narthex_model::{Matcher, Timestamp};
use narthex_promql::{Error, ErrorKind, Options, Output, Plan, Stats};

use crate::app::App;
use crate::query_log::{Entry, Origin};
use crate::query_pool::Ticket;
use crate::web::error::{ApiError, Kind};
use crate::web::result::put_stats;

const EMPTY_SELECTOR: &str = "match[] must contain at least one non-empty matcher";

/// The instants for which a query is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// One instant.
    At(Timestamp),
    /// Every `step` from `start` to `end`.
    Range {
        /// The first instant.
        start: Timestamp,
        /// No instant is later.
        end: Timestamp,
        /// From one instant to the next; at least a millisecond.
        step: Duration,
    },
}

/// A question.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The expression.
    pub query: String,
    /// When.
    pub when: When,
    /// Longest that it may take, waiting included.
    pub timeout: Duration,
    /// How far back a selector looks, when not as the flag says.
    pub lookback: Option<Duration>,
    /// Whether samples are to be counted for each step.
    pub per_step_stats: bool,
    /// Who asks, for the query log.
    pub origin: Origin,
}

/// Where the time of a query went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// Waiting for its turn.
    pub queue: Duration,
    /// Reading the expression.
    pub prepare: Duration,
    /// Computing.
    pub eval: Duration,
}

/// What came of a question.
#[derive(Debug)]
pub struct Answered {
    /// The result.
    pub output: Output,
    /// Where the time went.
    pub timings: Timings,
}

/// Computes a query on the pool.
pub async fn ask(app: &Arc<App>, ask: Ask) -> Result<Answered, ApiError> {
    let Some(parts) = app.parts() else { return Err(ApiError::internal("the store is not open")) };
    let store = Arc::clone(&parts.store);
    let (asked, began) = (Arc::clone(app), app.clock.monotonic());
    let ask = Arc::new(ask);
    let question = Arc::clone(&ask);
    let answered = app.queries.run(ask.timeout, move |ticket| {
        let clock = &asked.clock;
        let began = clock.monotonic();
        let plan = narthex_promql::parse(&question.query).map_err(|e| in_query(&e))?;
        let prepared = clock.monotonic();
        let options = options(&asked, &question, ticket);
        // The snapshot is taken when the query's turn has come, not when it queued up.
        let outcome = compute(&plan, &store.snapshot(), question.when, &options);
        let timings = Timings {
            queue: ticket.waited,
            prepare: prepared.saturating_sub(began),
            eval: clock.monotonic().saturating_sub(prepared),
        };
        log(&asked, &question, timings, outcome.as_ref().map(|output| &output.stats));
        Ok::<_, ApiError>(Answered { output: outcome?, timings })
    });
    let answered = answered.await.inspect_err(|error| {
        let queue = app.clock.monotonic().saturating_sub(began);
        let timings = Timings { queue, ..Timings::default() };
        log(app, &ask, timings, Err(&ApiError::from(error.clone())));
    });
    let answered = answered??;
    let timings = answered.timings;
    let engine = &app.telemetry.engine;
    engine.observe([timings.queue, timings.prepare, timings.eval, Duration::ZERO]);
    let read = answered.output.stats.samples_total;
    engine.samples.fetch_add(read, std::sync::atomic::Ordering::Relaxed);
    Ok(answered)
}

/// Tells the query log; what is no query is not told.
fn log(app: &App, ask: &Ask, timings: Timings, outcome: Result<&Stats, &ApiError>) {
    let error = outcome.as_ref().err().map(|error| error.text.as_str());
    if !app.file_logs.logs_queries() || outcome.is_err_and(|error| error.kind == Kind::BadData) {
        return;
    }
    let mut stats = Vec::new();
    put_stats(&mut stats, &timings, outcome.unwrap_or(&Stats::default()));
    app.file_logs.query(&Entry {
        query: &ask.query,
        when: ask.when,
        origin: &ask.origin,
        error,
        stats: &stats,
    });
}

fn options(app: &App, ask: &Ask, ticket: &Ticket) -> Options {
    Options {
        lookback: ask.lookback.unwrap_or(app.flags.lookback),
        max_samples: app.flags.query_samples_max,
        memory_bytes_max: app.query_memory.max_bytes(),
        memory: Some(Arc::clone(&app.query_memory)),
        timeout: ask.timeout.saturating_sub(ticket.waited),
        experimental: app.flags.has_feature("promql-experimental-functions"),
        default_step: app.config.load().config.global.evaluation_interval,
        per_step_stats: ask.per_step_stats && app.flags.has_feature("promql-per-step-stats"),
        delayed_name_removal: app.flags.has_feature("promql-delayed-name-removal"),
        release: narthex_promql::Release::default(),
        canceled: Some(Arc::clone(&ticket.cancel)),
        clock: Some(Arc::clone(&app.clock)),
    }
}

fn compute(
    plan: &Plan,
    snapshot: &narthex_store::Snapshot,
    when: When,
    options: &Options,
) -> Result<Output, ApiError> {
    let computed = match when {
        When::At(at) => narthex_promql::instant(plan, snapshot, at, options),
        When::Range { start, end, step } => {
            narthex_promql::range(plan, snapshot, start, end, step, options)
        }
    };
    computed.map_err(|e| in_query(&e))
}

/// What went wrong with a query, in the API's terms.
pub fn in_query(error: &Error) -> ApiError {
    let text = error.to_string();
    match error.kind() {
        ErrorKind::BadData => ApiError::parameter("query", text),
        ErrorKind::Timeout => ApiError::new(Kind::Timeout, text),
        ErrorKind::Canceled => ApiError::new(Kind::Canceled, text),
        ErrorKind::Internal => ApiError::internal(text),
        _ => ApiError::new(Kind::Execution, text),
    }
}

/// Reads a selector.
///
/// # Errors
/// The text of the parse error.
pub fn selector(text: &str) -> Result<Vec<Matcher>, String> {
    narthex_promql::parse_selector(text).map_err(|e| e.to_string())
}

/// Reads the selectors of `match[]`; each must have a matcher that does not match an empty value.
///
/// # Errors
/// A text without the name of the parameter.
pub fn selectors<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Vec<Vec<Matcher>>, String> {
    let sets = all_selectors(texts)?;
    match sets.iter().any(|matchers| matchers.iter().all(Matcher::matches_empty)) {
        true => Err(EMPTY_SELECTOR.to_owned()),
        false => Ok(sets),
    }
}

/// Reads selectors, each once; one may select everything.
///
/// # Errors
/// The text of the parse error.
pub fn all_selectors<'a>(
    texts: impl Iterator<Item = &'a str>,
) -> Result<Vec<Vec<Matcher>>, String> {
    let mut seen = HashSet::new();
    texts.filter(|text| seen.insert(*text)).map(selector).collect()
}

/// Checks that an expression can be read.
///
/// # Errors
/// The text of the parse error.
pub fn check(query: &str) -> Result<(), String> {
    narthex_promql::parse(query).map(drop).map_err(|e| e.to_string())
}
