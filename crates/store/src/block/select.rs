//! Finds series by their labels.

use std::collections::{BTreeSet, HashMap};

use narthex_model::{Hashing, Labels, MatchOp, Matcher, TimeRange};

use super::fault::Fault;
use super::postings::{Values, intersect, subtract};
use super::reader::Block;
use super::symbols::{self, SymbolCursor};
use crate::SeriesRef;

/// A series that is looked at costs about as much as this many values of a label.
const SERIES_PER_VALUES: u32 = 2;

/// A series of one block, by its position in order of labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SeriesIndex(pub u32);

/// A series that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its name in the whole store: the same in every block.
    pub series: SeriesRef,
    /// Its position in this block.
    pub index: SeriesIndex,
}

impl Block {
    /// The series that satisfy all matchers and have a chunk in `range`, in order of labels.
    /// Where the index is damaged, series may be missing; `warnings` tells.
    pub(crate) fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        warnings: &mut Vec<String>,
    ) -> Vec<Found> {
        let times = self.meta().times;
        if !times.overlaps(range) {
            return Vec::new();
        }
        let whole = range.start <= times.start && times.end <= range.end;
        let mut found = Vec::new();
        for index in self.matching(matchers, warnings) {
            let record = self
                .series(index)
                .and_then(|record| Ok((record.series, whole || self.has_chunk(&record, range)?)));
            match record {
                Ok((_, false)) => {}
                Ok((series, true)) => found.push(Found { series, index: SeriesIndex(index) }),
                Err(fault) => self.warn(fault, warnings),
            }
        }
        found
    }

    /// Adds the label names of the series that [`Block::select`] would give.
    pub(crate) fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        out: &mut BTreeSet<String>,
        warnings: &mut Vec<String>,
    ) {
        let times = self.meta().times;
        let mut symbols: BTreeSet<u32> = BTreeSet::new();
        let found = if matchers.is_empty() && range.start <= times.start && times.end <= range.end {
            self.names().try_for_each(|name| {
                symbols.insert(name?.symbol);
                Ok(())
            })
        } else {
            self.select(matchers, range, warnings).iter().try_for_each(|found| {
                let record = self.series(found.index.0)?;
                record.labels(|name, _| {
                    symbols.insert(name);
                    Ok(())
                })?;
                Ok(())
            })
        };
        found.unwrap_or_else(|fault| self.warn(fault, warnings));
        self.texts(symbols, out, warnings);
    }

    /// Adds the values of the label `name` on the series that [`Block::select`] would give.
    pub(crate) fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
        out: &mut BTreeSet<String>,
        warnings: &mut Vec<String>,
    ) {
        let times = self.meta().times;
        let mut symbols: BTreeSet<u32> = BTreeSet::new();
        let mut collect = |warnings: &mut Vec<String>| -> Result<(), Fault> {
            let Some(name) = symbols::find(self, name)? else { return Ok(()) };
            let Some(record) = self.find_name(name)? else { return Ok(()) };
            if matchers.is_empty() && range.start <= times.start && times.end <= range.end {
                let values = Values::new(self, record);
                return (0..values.len()).try_for_each(|index| {
                    symbols.insert(values.entry(index)?.0);
                    Ok(())
                });
            }
            for found in self.select(matchers, range, warnings) {
                self.series(found.index.0)?.labels(|have, value| {
                    if have == name {
                        symbols.insert(value);
                    }
                    Ok(())
                })?;
            }
            Ok(())
        };
        let collected = collect(warnings);
        collected.unwrap_or_else(|fault| self.warn(fault, warnings));
        self.texts(symbols, out, warnings);
    }

    fn texts(
        &self,
        symbols: BTreeSet<u32>,
        out: &mut BTreeSet<String>,
        warnings: &mut Vec<String>,
    ) {
        let mut cursor = SymbolCursor::new(self);
        for symbol in symbols {
            match cursor.get(symbol) {
                Ok(text) if out.contains(text) => {}
                Ok(text) => drop(out.insert(text.to_owned())),
                Err(fault) => self.warn(fault, warnings),
            }
        }
    }

    fn has_chunk(
        &self,
        record: &super::reader::SeriesRecord<'_>,
        range: TimeRange,
    ) -> Result<bool, Fault> {
        let (mut placements, mut any) = (Vec::new(), false);
        record.placements(&mut placements)?;
        for &placement in &placements {
            self.for_each_chunk(placement, range, |_, _, _| any = true)?;
        }
        Ok(any)
    }

    /// The series that satisfy all matchers, sorted.
    fn matching(&self, matchers: &[Matcher], warnings: &mut Vec<String>) -> Vec<u32> {
        match self.matching_by_postings(matchers) {
            Ok(found) => found,
            Err(fault) => {
                self.warn(fault, warnings);
                self.matching_by_labels(matchers, warnings)
            }
        }
    }

    /// Looks at every series: what can be read of a damaged index is found.
    fn matching_by_labels(&self, matchers: &[Matcher], warnings: &mut Vec<String>) -> Vec<u32> {
        let satisfied = |labels: &Labels| matchers.iter().all(|m| m.matches_labels(labels));
        let mut found = Vec::new();
        for index in 0..self.series_count() {
            match self.series_labels(index) {
                Ok(labels) if satisfied(&labels) => found.push(index),
                Ok(_) => {}
                Err(fault) => self.warn(fault, warnings),
            }
        }
        found
    }

    fn matching_by_postings(&self, matchers: &[Matcher]) -> Result<Vec<u32>, Fault> {
        let mut found: Option<Vec<u32>> = None;
        // Equalities first: they are cheap and leave little for the others.
        let cheap = |m: &&Matcher| m.op() == MatchOp::Equal && !m.value().is_empty();
        let ordered = matchers.iter().filter(cheap).chain(matchers.iter().filter(|m| !cheap(m)));
        for matcher in ordered {
            let matched = self.apply(matcher, found)?;
            if matched.as_ref().is_some_and(Vec::is_empty) {
                return Ok(Vec::new());
            }
            found = matched;
        }
        Ok(found.unwrap_or_else(|| (0..self.series_count()).collect()))
    }

    /// Those of `found` (`None`: of all series) that satisfy the matcher.
    fn apply(&self, matcher: &Matcher, found: Option<Vec<u32>>) -> Result<Option<Vec<u32>>, Fault> {
        let symbol = symbols::find(self, matcher.name())?;
        let name = symbol.map(|symbol| self.find_name(symbol)).transpose()?.flatten();
        let Some(name) = name else {
            return Ok(if matcher.matches_empty() { found } else { Some(Vec::new()) });
        };
        let values = Values::new(self, name);
        let equal = matcher.op() == MatchOp::Equal && !matcher.value().is_empty();
        if let Some(mut few) = found.clone()
            && !equal
            && few.len() as u64 * u64::from(SERIES_PER_VALUES) < u64::from(values.len())
        {
            self.filter(matcher, name.symbol, &mut few)?;
            return Ok(Some(few));
        }
        let mut listed = Vec::new();
        if equal {
            let value = symbols::find(self, matcher.value())?;
            let place = value.map(|value| values.find(value)).transpose()?.flatten();
            place.map(|place| values.list(place, &mut listed)).transpose()?;
        } else {
            self.list_values(matcher, &values, &mut listed)?;
        }
        Ok(Some(match (matcher.matches_empty(), found) {
            (false, None) => listed,
            (false, Some(mut found)) => {
                intersect(&mut found, &listed);
                found
            }
            // The list is then of those that do not match: they have the label with such a value.
            (true, found) => {
                let mut found = found.unwrap_or_else(|| (0..self.series_count()).collect());
                subtract(&mut found, &listed);
                found
            }
        }))
    }

    /// The series whose value matches; or, if a series without the label matches, those whose
    /// value does not.
    fn list_values(
        &self,
        matcher: &Matcher,
        values: &Values<'_>,
        listed: &mut Vec<u32>,
    ) -> Result<(), Fault> {
        let wanted = !matcher.matches_empty();
        let mut cursor = SymbolCursor::new(self);
        for index in 0..values.len() {
            let (value, place) = values.entry(index)?;
            if matcher.matches(cursor.get(value)?) == wanted {
                values.list(place, listed)?;
            }
        }
        // A series has one value of a name, so the lists have nothing in common.
        listed.sort_unstable();
        Ok(())
    }

    /// Keeps the series that satisfy the matcher, looking at each.
    fn filter(&self, matcher: &Matcher, name: u32, few: &mut Vec<u32>) -> Result<(), Fault> {
        let mut verdicts: HashMap<u32, bool, Hashing> = HashMap::default();
        let mut cursor = SymbolCursor::new(self);
        let mut failed = None;
        let mut satisfied = |index: u32| {
            let mut found = None;
            self.series(index)?.labels(|have, value| {
                if have == name {
                    found = Some(value);
                }
                Ok(())
            })?;
            let Some(value) = found else { return Ok(matcher.matches_empty()) };
            if let Some(&verdict) = verdicts.get(&value) {
                return Ok(verdict);
            }
            let verdict = matcher.matches(cursor.get(value)?);
            verdicts.insert(value, verdict);
            Ok(verdict)
        };
        few.retain(|&index| {
            satisfied(index).unwrap_or_else(|fault| {
                failed = Some(fault);
                false
            })
        });
        failed.map_or(Ok(()), Err)
    }
}
