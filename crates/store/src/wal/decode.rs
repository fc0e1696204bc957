//! Rows on their way out of the log.

use narthex_model::ABSENT;

use super::encode::{Against, SET_BITMAP, SET_LIST, differing};
use super::number::Predictor;
use super::varint::Fields;
use crate::{Column, RowBuf};

/// One layout's state for decoding.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    base: Vec<f64>,
    predictors: Vec<Predictor>,
    base_ordinal: Option<u32>,
    /// The row that was read last.
    last: Vec<f64>,
    columns: Vec<u32>,
    differing: Vec<u64>,
}

impl Decoder {
    /// Forgets the base, as at the start of a segment. The last row is kept, for the changes.
    pub(super) fn forget(&mut self) {
        self.base_ordinal = None;
    }

    /// Reads the columns and values of a row of `width` columns, which is the record `ordinal`,
    /// into `out.values`, and into `out.changed` if `changes` are wanted, at every row or at none.
    /// `None` when they cannot be read.
    pub(super) fn decode(
        &mut self,
        fields: &mut Fields<'_>,
        against: Against,
        ordinal: u32,
        width: usize,
        changes: bool,
        out: &mut RowBuf,
    ) -> Option<()> {
        match against {
            Against::Base(base) | Against::OldBase(base) if self.base_ordinal != Some(base) => {
                return None;
            }
            Against::Base(_) | Against::OldBase(_) => {}
            Against::Nothing => {
                self.base.clear();
                self.predictors.clear();
            }
        }
        if self.base.len() < width {
            self.base.resize(width, ABSENT);
            self.predictors.resize(width, Predictor::default());
        }
        let becomes_base = !matches!(against, Against::Base(_));
        if becomes_base {
            // Until the row is read whole: half a base is none.
            self.base_ordinal = None;
        }
        take_set(fields, width, &mut self.columns)?;
        out.values.clear();
        out.values.extend_from_slice(self.base.get(..width)?);
        for &column in &self.columns {
            let column = column as usize;
            let predictor = self.predictors.get_mut(column)?;
            let (value, after) = predictor.decode(fields)?;
            *out.values.get_mut(column)? = value;
            if becomes_base {
                *predictor = after;
                *self.base.get_mut(column)? = value;
            }
        }
        if !fields.is_empty() {
            return None;
        }
        if becomes_base {
            self.base_ordinal = Some(ordinal);
        }
        if changes {
            self.note_changes(out);
        }
        Some(())
    }

    fn note_changes(&mut self, out: &mut RowBuf) {
        self.last.resize(out.values.len(), ABSENT);
        self.differing.resize(out.values.len().div_ceil(64), 0);
        differing(&out.values, &self.last, &mut self.differing);
        self.last.copy_from_slice(&out.values);
        out.changed.clear();
        for (first, &word) in (0..).step_by(64).zip(&self.differing) {
            let mut bits = word;
            while bits != 0 {
                out.changed.push(Column(first + bits.trailing_zeros()));
                bits &= bits - 1;
            }
        }
    }
}

/// Reads which columns follow: rising, and all below `width`.
fn take_set(fields: &mut Fields<'_>, width: usize, columns: &mut Vec<u32>) -> Option<()> {
    columns.clear();
    match fields.u8()? {
        SET_BITMAP => {
            for (first, &byte) in (0..).step_by(8).zip(fields.bytes(width.div_ceil(8))?) {
                let mut bits = byte;
                while bits != 0 {
                    columns.push(first + bits.trailing_zeros());
                    bits &= bits - 1;
                }
            }
        }
        SET_LIST => {
            let count = usize::try_from(fields.varint()?).ok().filter(|&count| count <= width)?;
            let mut last = 0u32;
            for index in 0..count {
                let distance = fields.varint_u32()?;
                if index > 0 && distance == 0 {
                    return None;
                }
                last = last.checked_add(distance)?;
                columns.push(last);
            }
        }
        _ => return None,
    }
    columns.last().is_none_or(|&last| (last as usize) < width).then_some(())
}
