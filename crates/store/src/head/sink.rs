//! Where samples of a column go that are wanted one by one.

use narthex_model::{TimeRange, Timestamp, is_absent};

use super::layout::Sight;
use super::mini::{Mini, RowKey};
use crate::RowSeq;
use crate::codec::{Damaged, Decoder};

/// Where a reader wants the samples of columns.
#[derive(Debug)]
pub(crate) struct Sink<'a> {
    pub(crate) times: &'a mut Vec<Timestamp>,
    pub(crate) values: &'a mut Vec<f64>,
    /// The places of the samples' rows, if they are wanted.
    pub(crate) seqs: Option<&'a mut Vec<RowSeq>>,
}

impl Sink<'_> {
    pub(super) fn add_mini(
        &mut self,
        mini: &Mini,
        column: usize,
        range: TimeRange,
        sight: Sight,
        decoder: &mut Decoder,
    ) -> Result<(), Damaged> {
        let start = self.values.len();
        mini.column(column, decoder, self.values)?;
        let values = self.values.get(start..).unwrap_or(&[]);
        let holes = values.iter().fold(false, |any, &value| any | is_absent(value));
        let (first, last) = (mini.first_key(), mini.last_key());
        if !holes && sight.shows(range, first) && sight.shows(range, last) {
            self.times.extend(mini.times());
            if let Some(seqs) = &mut self.seqs {
                seqs.extend(mini.keys().map(|key| key.seq));
            }
            return Ok(());
        }
        let mut kept = start;
        for (row, key) in mini.keys().enumerate() {
            let Some(&value) = self.values.get(start + row) else { break };
            if is_absent(value) || !sight.shows(range, key) {
                continue;
            }
            self.add_key(key);
            if let Some(place) = self.values.get_mut(kept) {
                *place = value;
            }
            kept += 1;
        }
        self.values.truncate(kept);
        Ok(())
    }

    pub(super) fn add_key(&mut self, key: RowKey) {
        self.times.push(key.at);
        if let Some(seqs) = &mut self.seqs {
            seqs.push(key.seq);
        }
    }
}
