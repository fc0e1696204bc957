//! Asks PromQL on the query pool, in the API's terms.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use narthex_model::{Matcher, Timestamp};
use narthex_promql::plan::{Expr, Length};
use narthex_promql::{Error, ErrorKind, Options, Output, Plan};

use crate::app::App;
use crate::query_pool::Ticket;
use crate::web::error::{ApiError, Kind};

const NO_MATCHER: &str = "must contain at least one non-empty matcher";
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
    let asked = Arc::clone(app);
    let answered = app.queries.run(ask.timeout, move |ticket| {
        let clock = &asked.clock;
        let began = clock.monotonic();
        let plan = narthex_promql::parse(&ask.query).map_err(|e| in_query(&e))?;
        let prepared = clock.monotonic();
        let options = options(&asked, &ask, ticket);
        // The snapshot is taken when the query's turn has come, not when it queued up.
        let output = compute(&plan, &store.snapshot(), ask.when, &options)?;
        let timings = Timings {
            queue: ticket.waited,
            prepare: prepared.saturating_sub(began),
            eval: clock.monotonic().saturating_sub(prepared),
        };
        Ok::<_, ApiError>(Answered { output, timings })
    });
    let answered = answered.await??;
    let timings = answered.timings;
    let engine = &app.telemetry.engine;
    engine.observe([timings.queue, timings.prepare, timings.eval, Duration::ZERO]);
    let read = answered.output.stats.samples_total;
    engine.samples.fetch_add(read, std::sync::atomic::Ordering::Relaxed);
    Ok(answered)
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
    let plan = narthex_promql::parse(text).map_err(|e| e.to_string())?;
    match &plan.root().expr {
        Expr::Vector(selector) if selector.at.is_none() && selector.offset == Length::Fixed(0) => {
            Ok(selector.matchers.clone())
        }
        _ => Err("1:1: parse error: expected a metric selector and nothing else".to_owned()),
    }
}

/// Reads the selectors of `match[]`; each must have a matcher that does not match an empty value.
///
/// # Errors
/// A text without the name of the parameter.
pub fn selectors<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Vec<Vec<Matcher>>, String> {
    let mut sets = Vec::new();
    let mut seen = HashSet::new();
    for text in texts.filter(|text| seen.insert(*text)) {
        let matchers = selector(text).map_err(|reason| {
            // A query must not select everything either, and says so in other words.
            if reason.contains(NO_MATCHER) { EMPTY_SELECTOR.to_owned() } else { reason }
        })?;
        if matchers.iter().all(Matcher::matches_empty) {
            return Err(EMPTY_SELECTOR.to_owned());
        }
        sets.push(matchers);
    }
    Ok(sets)
}

/// Checks that an expression can be read.
///
/// # Errors
/// The text of the parse error.
pub fn check(query: &str) -> Result<(), String> {
    narthex_promql::parse(query).map(drop).map_err(|e| e.to_string())
}
