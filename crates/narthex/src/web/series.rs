//! Names: `labels`, `label/<name>/values`, `series`.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{OriginalUri, Path, State};
use axum::response::Response;
use axum::routing::get;
use narthex_model::{Labels, Matcher, TimeRange, Timestamp};
use narthex_promql::Error;
use narthex_store::Snapshot;

use super::error::ApiError;
use super::json;
use super::params::Params;
use super::reply::{Notes, Reply};
use super::{Answer, Routes};
use crate::app::App;
use crate::engine;
use crate::look::{self, Look};

/// What a series that was found takes besides its labels' texts, in bytes.
const SERIES_BYTES: usize = 64;

pub(super) fn routes() -> Routes {
    Routes::new()
        .route("/labels", get(names).post(names))
        .route("/label/{name}/values", get(values))
        .route("/series", get(series).post(series).delete(drop_series))
}

/// What is asked for, in every endpoint of this module.
struct Asked {
    sets: Vec<Vec<Matcher>>,
    range: TimeRange,
    limit: Option<usize>,
}

impl Asked {
    fn new(params: &Params) -> Result<Self, ApiError> {
        let limit = params.limit()?;
        let start = params.time("start")?.unwrap_or(Timestamp::MIN);
        let end = params.time("end")?.unwrap_or(Timestamp::MAX);
        Ok(Self { sets: Vec::new(), range: TimeRange::new(start, end), limit })
    }

    fn with_selectors(mut self, sets: Result<Vec<Vec<Matcher>>, ApiError>) -> Answered<Self> {
        self.sets = sets?;
        Ok(self)
    }
}

type Answered<T> = Result<T, ApiError>;

async fn names(State(app): State<Arc<App>>, params: Params) -> Answer {
    let sets = engine::selectors(params.all("match[]")).map_err(ApiError::bad);
    let asked = Asked::new(&params)?.with_selectors(sets)?;
    strings(&app, asked, Snapshot::label_names).await
}

async fn values(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    OriginalUri(uri): OriginalUri,
    params: Params,
) -> Answer {
    let Ok(Path(name)) = name else {
        let name = uri.path().rsplit('/').nth(1).unwrap_or("");
        return Err(ApiError::bad(format!("invalid label name: \"{}\"", quoted(name))));
    };
    let name = unescape(&name);
    let sets = engine::selectors(params.all("match[]")).map_err(ApiError::bad);
    let asked = Asked::new(&params)?.with_selectors(sets)?;
    strings(&app, asked, move |snapshot, set, range| snapshot.label_values(&name, set, range)).await
}

/// A label name of a path that is no text, as Go prints it: its bytes as `\xff`.
fn quoted(name: &str) -> String {
    let mut parts = name.split('%');
    let mut out = parts.next().unwrap_or("").to_owned();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        out.extend(["\\x", &digits.to_ascii_lowercase(), rest]);
    }
    out
}

/// Runs `find` for every set of matchers and answers the strings of all of them, sorted.
async fn strings(
    app: &Arc<App>,
    asked: Asked,
    find: impl Fn(&Snapshot, &[Matcher], TimeRange) -> Result<Vec<String>, narthex_store::Error>
    + Send
    + 'static,
) -> Answer {
    if asked.range.end < asked.range.start {
        return Ok(Reply::literal("[]"));
    }
    read(app, move |look| {
        let bytes = |text: &String| size_of::<String>() + text.len();
        let mut found = match asked.sets.as_slice() {
            [] => find(&look.snapshot, &[], asked.range)?,
            [set] => find(&look.snapshot, set, asked.range)?,
            sets => {
                let mut all = BTreeSet::new();
                for set in sets {
                    for text in find(&look.snapshot, set, asked.range)? {
                        if !all.contains(&text) {
                            look.hold(bytes(&text))?;
                            all.insert(text);
                        }
                    }
                    look.hold(0)?;
                }
                all.into_iter().collect()
            }
        };
        // The same once more as JSON.
        look.holds(2 * found.iter().map(bytes).sum::<usize>())?;
        let notes = cut(&mut found, asked.limit);
        Ok(Reply::new(|out| json::strings(out, &found)).with(notes))
    })
    .await
}

async fn series(State(app): State<Arc<App>>, params: Params) -> Answer {
    if params.all("match[]").next().is_none() {
        return Err(ApiError::bad("no match[] parameter provided"));
    }
    let sets = engine::selectors(params.all("match[]"));
    let sets = sets.map_err(|reason| ApiError::parameter("match[]", reason));
    let asked = Asked::new(&params)?.with_selectors(sets)?;
    if asked.range.end < asked.range.start {
        return Ok(Reply::literal("[]"));
    }
    read(&app, move |look| {
        let mut notes = Notes::default();
        let mut found: Vec<Labels> = Vec::new();
        let (mut unique, mut unique_bytes) = (0, 0);
        for set in &asked.sets {
            let selection = look.snapshot.select(set, asked.range)?;
            found.extend(selection.series.iter().map(|series| series.labels().clone()));
            notes.warnings.extend(selection.warnings);
            // Selectors may ask for the same series again and again.
            if asked.sets.len() > 1 && found.len() > 2 * unique {
                found.sort_unstable();
                found.dedup();
                unique = found.len();
                unique_bytes = found.iter().map(Labels::heap_bytes).sum();
            }
            look.holds(unique_bytes + found.len() * SERIES_BYTES)?;
        }
        if asked.sets.len() > 1 {
            found.sort_unstable();
            found.dedup();
        }
        notes.warnings.extend(cut(&mut found, asked.limit).warnings);
        let bytes: usize = found.iter().map(Labels::heap_bytes).sum();
        // The same once more as JSON, with its quotes and commas.
        look.hold(2 * bytes)?;
        Ok(Reply::new(|out| json::list(out, &found, json::labels)).with(notes))
    })
    .await
}

async fn drop_series() -> Response {
    use axum::response::IntoResponse;
    ApiError::internal("not implemented").into_response()
}

/// Runs `job` on the query pool.
async fn read(
    app: &Arc<App>,
    job: impl FnOnce(&mut Look) -> Result<Reply, Error> + Send + 'static,
) -> Answer {
    let answered = look::look(app, move |look| {
        let reply = job(look)?;
        look.holds(reply.bytes())?;
        Ok(reply)
    });
    let (reply, share) = answered.await?;
    Ok(reply.paid_by(share))
}

fn cut<T>(items: &mut Vec<T>, limit: Option<usize>) -> Notes {
    let mut notes = Notes::default();
    if let Some(limit) = limit
        && items.len() > limit
    {
        items.truncate(limit);
        notes.truncated();
    }
    notes
}

/// Undoes the escaping of names that begin with `U__`: `_` and hexadecimal digits and `_` stand
/// for a character, `__` for an underscore. Whatever is not escaped properly stays as it is.
fn unescape(name: &str) -> String {
    let Some(escaped) = name.strip_prefix("U__") else { return name.to_owned() };
    let mut out = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((plain, tail)) = rest.split_once('_') {
        out.push_str(plain);
        if let Some(tail) = tail.strip_prefix('_') {
            out.push('_');
            rest = tail;
            continue;
        }
        let Some((digits, tail)) = tail.split_once('_') else { return name.to_owned() };
        let code = u32::from_str_radix(digits, 16).ok().filter(|_| digits.len() <= 6);
        let Some(c) = code.and_then(char::from_u32) else { return name.to_owned() };
        out.push(c);
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unescaped() {
        assert_eq!(unescape("job"), "job");
        assert_eq!(unescape("U__a_2E_b"), "a.b");
        assert_eq!(unescape("U__a__b_1F600_"), "a_b\u{1f600}");
        for bad in ["U__a_zz_", "U__a_2E", "U__a_d800_"] {
            assert_eq!(unescape(bad), bad);
        }
    }
}
