//! Aggregations that need of their elements only what those came to so far: each column is folded
//! into its group as soon as it is computed, and is gone before the next one.

use std::collections::{HashMap, HashSet};

use narthex_model::{ABSENT, Hashing, Labels, METRIC_NAME, MatchOp, is_absent};

use super::{NameMark, encode_group};
use crate::Error;
use crate::column::{Column, SAME_LABELS, Slots, is_metadata};
use crate::eval::Evaluator;
use crate::functions::has_number;
use crate::functions::{WindowFn, window_fn};
use crate::numeric::{Mean, Sum};
use crate::plan::{Aggregate, AggregateOp, Call, Expr, Func, Node};
use crate::select::Taker;
use crate::steps::Steps;

/// Takes a column with its place in the order of all, and whether its metric's name is to be
/// overlooked; tells how many samples more are held now.
type Folding<'f> = dyn FnMut(usize, &Column, bool) -> usize + 'f;

/// A group of columns.
#[derive(Debug)]
struct Group {
    /// The least place of a member.
    place: usize,
    labels: Labels,
    name: NameMark,
}

/// What the elements of a group at one step came to.
pub(super) trait State: Clone {
    fn start(value: f64) -> Self;
    fn add(&mut self, value: f64);
    fn value(self) -> f64;
}

/// The states of all groups at all steps.
pub(super) trait States {
    /// Adds a column to the group `group`, of which there may be one more than before; tells how
    /// many samples' memory more is held.
    fn add(&mut self, group: usize, column: &Column) -> usize;
    /// The values of a group.
    fn slots(&mut self, group: usize) -> Slots;
}

#[derive(Debug)]
struct Groups<S> {
    steps: usize,
    states: Vec<Vec<Option<S>>>,
}

impl<S: State> States for Groups<S> {
    fn add(&mut self, group: usize, column: &Column) -> usize {
        let mut held = 0;
        if group == self.states.len() {
            self.states.push(vec![None; self.steps]);
            held = self.steps * size_of::<Option<S>>() / size_of::<f64>();
        }
        let states = self.states.get_mut(group).and_then(|states| states.get_mut(column.first..));
        for (slot, &value) in states.unwrap_or(&mut []).iter_mut().zip(&column.values) {
            if is_absent(value) {
                continue;
            }
            match slot {
                Some(state) => state.add(value),
                None => *slot = Some(S::start(value)),
            }
        }
        held
    }

    fn slots(&mut self, group: usize) -> Slots {
        let mut slots = Slots::default();
        for state in self.states.get_mut(group).map(std::mem::take).unwrap_or_default() {
            slots.push(state.map_or(ABSENT, S::value));
        }
        slots
    }
}

/// The states for `op`, if it can do with such.
pub(super) fn states(op: AggregateOp, steps: usize) -> Option<Box<dyn States>> {
    fn of<S: State + 'static>(steps: usize) -> Box<dyn States> {
        Box::new(Groups::<S> { steps, states: Vec::new() })
    }
    Some(match op {
        AggregateOp::Sum => of::<Sum>(steps),
        AggregateOp::Avg => of::<Mean>(steps),
        AggregateOp::Count => of::<Count>(steps),
        AggregateOp::Group => of::<One>(steps),
        AggregateOp::Min => of::<Least>(steps),
        AggregateOp::Max => of::<Most>(steps),
        AggregateOp::Stddev => of::<Spread<true>>(steps),
        AggregateOp::Stdvar => of::<Spread<false>>(steps),
        _ => return None,
    })
}

impl Evaluator<'_> {
    /// Computes an aggregation by folding; `None` if it needs all elements at once.
    pub(super) fn fold(
        &mut self,
        aggregate: &Aggregate,
        steps: Steps,
    ) -> Result<Option<Vec<Column>>, Error> {
        let Some(mut states) = states(aggregate.op, steps.count) else { return Ok(None) };
        let mut places: HashMap<Labels, usize, Hashing> = HashMap::default();
        let mut groups: Vec<Group> = Vec::new();
        let mut key = String::new();
        self.stream(&aggregate.inner, steps, &mut |place, column, nameless| {
            key.clear();
            encode_group(aggregate, &column.labels, nameless, &mut key);
            let at = places.get(key.as_str()).copied().unwrap_or_else(|| {
                let labels = super::group_labels(aggregate, &column.labels, nameless);
                places.insert(labels.clone(), groups.len());
                groups.push(Group { place, labels, name: NameMark::default() });
                groups.len() - 1
            });
            if let Some(group) = groups.get_mut(at) {
                group.place = group.place.min(place);
                group.name.add(column);
            }
            states.add(at, column)
        })?;
        let mut order: Vec<_> = groups.into_iter().enumerate().collect();
        order.sort_by_key(|(_, group)| group.place);
        let columns = order
            .into_iter()
            .filter_map(|(at, group)| states.slots(at).column(group.labels, group.name.drops));
        Ok(Some(columns.collect()))
    }

    /// Computes the columns of a vector, one by one where that can be done.
    fn stream(&mut self, node: &Node, steps: Steps, fold: &mut Folding<'_>) -> Result<(), Error> {
        self.budget.check()?;
        let bare = node.bare();
        if !bare.invariant || steps.count == 1 || self.unresolved.is_some() {
            match &bare.expr {
                Expr::Vector(selector) => {
                    let mut each = |place: usize, column: &Column| Ok(fold(place, column, false));
                    let mut taker = Taker::Fold(&mut each);
                    return self.select_into(selector, steps, |_, value| value, &mut taker);
                }
                Expr::Call(call) if call.function.func != Func::AbsentOverTime => {
                    if let Some(compute) = window_fn(call.function.func, self.options.release) {
                        return self.stream_range(call, compute, steps, fold);
                    }
                }
                _ => {}
            }
        }
        let columns = self.vector(node, steps)?;
        for (place, column) in columns.iter().enumerate() {
            let held = fold(place, column, false);
            self.budget.hold(held)?;
        }
        Ok(())
    }

    /// Computes the columns of a function of a range one by one.
    fn stream_range(
        &mut self,
        call: &Call,
        compute: WindowFn,
        steps: Steps,
        fold: &mut Folding<'_>,
    ) -> Result<(), Error> {
        let drops = !call.function.func.keeps_name() && !self.options.delayed_name_removal;
        let marked = !call.function.func.keeps_name() && self.options.delayed_name_removal;
        let one_name = call.args.iter().any(has_one_name);
        let mut seen: HashSet<Labels, Hashing> = HashSet::default();
        let mut names: Vec<Labels> = Vec::new();
        let mut each = |place: usize, column: &Column| {
            let labels = &column.labels;
            let metadata = labels.iter().filter(|(name, _)| is_metadata(name)).count();
            if drops
                && (metadata > 1 || !one_name)
                && !seen.insert(labels.filtered(|name| !is_metadata(name)))
            {
                return Err(Error::Execution(SAME_LABELS.to_owned()));
            }
            if names.last().is_none_or(|last| last.metric_name() != labels.metric_name())
                && has_number(column)
            {
                names.push(labels.clone());
            }
            if marked && !column.drop_name {
                let column = Column { drop_name: true, ..column.clone() };
                return Ok(fold(place, &column, false));
            }
            Ok(fold(place, column, drops))
        };
        self.range_into(call, compute, steps, &mut Taker::Fold(&mut each))?;
        self.note_counters(call, names.iter());
        Ok(())
    }
}

/// Whether a range is of one metric, so that its series differ in other labels than the name.
fn has_one_name(node: &Node) -> bool {
    let Expr::Matrix(matrix) = &node.bare().expr else { return false };
    let is_name = |m: &narthex_model::Matcher| {
        m.name() == METRIC_NAME && m.op() == MatchOp::Equal && !m.value().is_empty()
    };
    matrix.selector.matchers.iter().any(is_name)
}

impl State for Sum {
    fn start(value: f64) -> Self {
        Self::new(value)
    }

    fn add(&mut self, value: f64) {
        *self = self.plus(value);
    }

    fn value(self) -> f64 {
        self.total()
    }
}

impl State for Mean {
    fn start(value: f64) -> Self {
        Self::new(value)
    }

    fn add(&mut self, value: f64) {
        Self::add(self, value);
    }

    fn value(self) -> f64 {
        Self::value(&self)
    }
}

#[derive(Clone, Copy, Debug)]
struct Count(f64);

impl State for Count {
    fn start(_: f64) -> Self {
        Self(1.0)
    }

    fn add(&mut self, _: f64) {
        self.0 += 1.0;
    }

    fn value(self) -> f64 {
        self.0
    }
}

#[derive(Clone, Copy, Debug)]
struct One;

impl State for One {
    fn start(_: f64) -> Self {
        Self
    }

    fn add(&mut self, _: f64) {}

    fn value(self) -> f64 {
        1.0
    }
}

#[derive(Clone, Copy, Debug)]
struct Least(f64);

impl State for Least {
    fn start(value: f64) -> Self {
        Self(value)
    }

    fn add(&mut self, value: f64) {
        if self.0 > value || self.0.is_nan() {
            self.0 = value;
        }
    }

    fn value(self) -> f64 {
        self.0
    }
}

#[derive(Clone, Copy, Debug)]
struct Most(f64);

impl State for Most {
    fn start(value: f64) -> Self {
        Self(value)
    }

    fn add(&mut self, value: f64) {
        if self.0 < value || self.0.is_nan() {
            self.0 = value;
        }
    }

    fn value(self) -> f64 {
        self.0
    }
}

/// Welford's running variance, or with `ROOT` the deviation.
#[derive(Clone, Copy, Debug)]
struct Spread<const ROOT: bool> {
    count: f64,
    mean: f64,
    squares: f64,
}

impl<const ROOT: bool> State for Spread<ROOT> {
    fn start(value: f64) -> Self {
        let squares = if value.is_finite() { 0.0 } else { f64::NAN };
        Self { count: 1.0, mean: value, squares }
    }

    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (value - self.mean);
    }

    fn value(self) -> f64 {
        let variance = self.squares / self.count;
        if ROOT { variance.sqrt() } else { variance }
    }
}
