//! Finding series by matchers.

use std::borrow::Cow;
use std::collections::HashMap;

use narthex_model::{Hashing, MatchOp, Matcher};

use super::index::{Index, NamePostings};
use super::postings::{intersect, subtract, union};
use super::symbols::Symbol;

impl Index {
    /// The numbers of the series that satisfy all matchers, rising.
    pub(crate) fn select(&self, matchers: &[Matcher]) -> Vec<u32> {
        let mut order: Vec<&Matcher> = matchers.iter().collect();
        // Equality is a look-up and narrows most; what a missing label satisfies only takes away.
        order.sort_by_key(|m| (m.matches_empty(), m.op() != MatchOp::Equal));
        let mut found: Option<Cow<'_, [u32]>> = None;
        for matcher in order {
            let name = self.symbols.find(matcher.name());
            let postings = name.and_then(|name| Some((name, self.names.get(&name)?)));
            found = match (postings, matcher.matches_empty()) {
                (None, true) => found,
                (None, false) => return Vec::new(),
                (Some((name, postings)), _) => Some(self.narrow(found, matcher, name, postings)),
            };
            if found.as_ref().is_some_and(|found| found.is_empty()) {
                return Vec::new();
            }
        }
        found.map_or_else(|| self.all.clone(), Cow::into_owned)
    }

    /// Those of `found` (`None`: of all) that satisfy `matcher`.
    fn narrow<'a>(
        &'a self,
        found: Option<Cow<'a, [u32]>>,
        matcher: &Matcher,
        name: Symbol,
        postings: &'a NamePostings,
    ) -> Cow<'a, [u32]> {
        if let (MatchOp::Equal, false) = (matcher.op(), matcher.matches_empty()) {
            let value = self.symbols.find(matcher.value());
            let list = value.and_then(|value| postings.values.get(&value));
            let list = list.map_or(&[][..], Vec::as_slice);
            return match found {
                None => Cow::Borrowed(list),
                Some(found) => Cow::Owned(intersect(&found, list)),
            };
        }
        match found {
            // Few candidates: ask each one. Many: ask each value once.
            Some(found) if found.len() <= postings.values.len() => {
                Cow::Owned(self.filter(&found, matcher, name))
            }
            found => {
                let empty_too = matcher.matches_empty();
                let listed = postings
                    .values
                    .iter()
                    .filter(|&(&value, _)| matcher.matches(self.symbols.text(value)) != empty_too)
                    .map(|(_, list)| list.as_slice());
                let listed = union(listed);
                let found = found.unwrap_or(Cow::Borrowed(&self.all));
                Cow::Owned(if empty_too {
                    subtract(&found, &listed)
                } else {
                    intersect(&found, &listed)
                })
            }
        }
    }

    fn filter(&self, found: &[u32], matcher: &Matcher, name: Symbol) -> Vec<u32> {
        let mut known: HashMap<Symbol, bool, Hashing> = HashMap::default();
        let empty_too = matcher.matches_empty();
        let satisfies = |&number: &u32| match self.value(number, name) {
            None => empty_too,
            Some(value) => {
                *known.entry(value).or_insert_with(|| matcher.matches(self.symbols.text(value)))
            }
        };
        found.iter().copied().filter(satisfies).collect()
    }

    /// The value of the label `name` of a series.
    pub(super) fn value(&self, series: u32, name: Symbol) -> Option<Symbol> {
        self.pairs(series).find(|&(n, _)| n == name).map(|(_, value)| value)
    }
}
