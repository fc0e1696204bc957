//! Collecting one series' parts from the head and all blocks.

use std::collections::HashMap;
use std::sync::Arc;

use narthex_model::{Hashing, Labels};

use super::series::{BlockPart, HeadPart, Series};
use crate::block::{Block, Found};
use crate::head::layout::Sight;
use crate::histogram::{Part, PartSeries, attach};
use crate::view::View;

/// In which order series are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// By their labels.
    Labels,
    /// Those that are stored together one after the other.
    Stored,
}

/// Series as they are found, each with all its parts.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    found: Vec<Parts>,
    /// Where in `found` a series stands, by its number.
    by_number: HashMap<u32, usize, Hashing>,
    /// Whether two of them may have the same labels: the head does not know one of them, or has
    /// one by two numbers.
    may_have_doubles: bool,
    /// How many are wanted at most, and whether there are more.
    most: usize,
    cut: bool,
}

#[derive(Debug)]
struct Parts {
    number: u32,
    labels: Labels,
    head: Vec<HeadPart>,
    blocks: Vec<BlockPart>,
    /// Other numbers that it has.
    others: Vec<u32>,
}

impl Gathered {
    /// For so many series at most.
    pub(super) fn new(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// Says that two series may have the same labels.
    pub(super) fn expect_doubles(&mut self) {
        self.may_have_doubles = true;
    }

    /// Whether there were more.
    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    fn is_full(&mut self) -> bool {
        self.cut |= self.found.len() >= self.most;
        self.cut
    }

    /// Adds what the head has of a series. Comes before the blocks, each series once.
    pub(super) fn add_head(&mut self, number: u32, labels: Labels, head: Vec<HeadPart>) {
        if self.is_full() {
            return;
        }
        self.by_number.insert(number, self.found.len());
        let (blocks, others) = (Vec::new(), Vec::new());
        self.found.push(Parts { number, labels, head, blocks, others });
    }

    /// Adds what a block has of a series. Blocks come in order of time.
    pub(super) fn add_block(
        &mut self,
        position: usize,
        block: &Block,
        found: Found,
        warnings: &mut Vec<String>,
    ) {
        let part = BlockPart { position, index: found.index };
        let number = found.series.get();
        if let Some(parts) = self.by_number.get(&number).and_then(|&at| self.found.get_mut(at)) {
            parts.blocks.push(part);
            return;
        }
        if self.is_full() {
            return;
        }
        match block.labels(found.index) {
            Ok(labels) => {
                self.may_have_doubles = true;
                self.by_number.insert(number, self.found.len());
                let (head, others) = (Vec::new(), Vec::new());
                self.found.push(Parts { number, labels, head, blocks: vec![part], others });
            }
            Err(error) => warnings.push(error.to_string()),
        }
    }

    /// The series in that order. Two numbers with the same labels (a series that came back
    /// after the head had forgotten it) become one.
    pub(super) fn into_series(
        mut self,
        view: &Arc<View>,
        sight: Sight,
        order: Order,
    ) -> Vec<Series> {
        let any_part = || self.found.iter().any(|parts| parts.labels.part().is_some());
        if order == Order::Labels || self.may_have_doubles || any_part() {
            self.sort();
        }
        let mut series = self.put_together(view, sight);
        if order == Order::Stored {
            series.sort_by_key(Series::shelf);
        }
        series
    }

    fn sort(&mut self) {
        self.found.sort_by(|a, b| a.labels.cmp(&b.labels));
        self.found.dedup_by(|later, first| {
            let same = later.labels == first.labels;
            if same {
                first.head.append(&mut later.head);
                first.blocks.append(&mut later.blocks);
                first.blocks.sort_by_key(|part| part.position);
                first.others.push(later.number);
                first.others.append(&mut later.others);
            }
            same
        });
    }

    fn put_together(self, view: &Arc<View>, sight: Sight) -> Vec<Series> {
        let mut parts = Vec::new();
        let mut series = Vec::with_capacity(self.found.len());
        let make = |found: Parts| {
            let Parts { number, labels, head, blocks, others } = found;
            let mut series = Series::new(number, labels, head, blocks, Arc::clone(view), sight);
            if !view.tombstones.is_empty() {
                series.delete(&others);
            }
            series
        };
        for found in self.found {
            match found.labels.part().map(Part::parse) {
                None => series.push(make(found)),
                // A part of a later version is not for us.
                Some(None) => {}
                Some(Some(part)) => {
                    let whole = found.labels.whole();
                    parts.push((whole, PartSeries { part, series: make(found) }));
                }
            }
        }
        if parts.is_empty() {
            return series;
        }
        let empty = |labels| {
            let (head, blocks, others) = (Vec::new(), Vec::new(), Vec::new());
            make(Parts { number: 0, labels, head, blocks, others })
        };
        attach(series, parts, empty)
    }
}
