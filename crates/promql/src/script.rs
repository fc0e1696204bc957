//! Runs test scripts in the language of Prometheus' own `promqltest`: `load` series, `eval`
//! queries on them, compare.
//!
//! A script is a list of commands. `load 1m` and its indented lines put series into the store, a
//! value every minute from 1970 on; `clear` empties it; `eval instant at 10m QUERY` and
//! `eval range from 0 to 1h step 5m QUERY` are followed by indented lines that say what is
//! expected: series with values, a number, or `expect fail|warn|info|no_warn|no_info|ordered|
//! string|range vector`. An instant query is also run as a range query around its time, as
//! `promqltest` does, and has to give the same there.

mod check;
mod read;
mod series;
mod world;

use std::fmt;

use read::{Command, Eval};
use world::World;

pub use read::ScriptError;

/// What an evaluation needs that narthex does not have yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Only what is there.
    Nothing,
    /// Native histograms, in the data or in the answer.
    Histograms,
    /// Start times of counters.
    StartTimes,
}

/// What came of one evaluation.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The line of the script that it stands on, from 1.
    pub line: usize,
    /// The query.
    pub query: String,
    /// What it needs.
    pub needs: Needs,
    /// Why it is not as expected; `None` when it is.
    pub failure: Option<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = self.failure.as_deref().unwrap_or("as expected");
        write!(f, "line {}: {}: {verdict}", self.line, self.query)
    }
}

/// Runs a script.
///
/// # Errors
/// When the script itself cannot be read; what is not as expected is an [`Outcome`].
pub fn run(script: &str) -> Result<Vec<Outcome>, ScriptError> {
    let mut world = World::default();
    let mut outcomes = Vec::new();
    for command in read::commands(script)? {
        match command {
            Command::Clear => world = World::default(),
            Command::Load(load) => world.load(load),
            Command::Eval(eval) => outcomes.push(evaluate(&mut world, *eval)),
        }
    }
    Ok(outcomes)
}

fn evaluate(world: &mut World, eval: Eval) -> Outcome {
    let needs = world.needs(&eval);
    let failure = check::check(world, &eval).err();
    Outcome { line: eval.line, query: eval.query, needs, failure }
}

#[cfg(test)]
mod tests;
