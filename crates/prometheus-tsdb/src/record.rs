//! The records of the write-ahead log.

use narthex_model::{Labels, LabelsBuilder};

use crate::Error;
use crate::bytes::Reader;

/// What takes the contents of records. What it does not want it need not name.
pub trait Visit {
    /// A series got a reference.
    fn series(&mut self, series: u64, labels: Labels) {
        let _ = (series, labels);
    }

    /// A sample.
    fn sample(&mut self, series: u64, at: i64, value: f64) {
        let _ = (series, at, value);
    }

    /// What was deleted of a series, both ends included.
    fn tombstone(&mut self, series: u64, start: i64, end: i64) {
        let _ = (series, start, end);
    }

    /// The samples of a series that came out of order so far are in a chunk of the head.
    fn marker(&mut self, series: u64) {
        let _ = series;
    }

    /// A record that is not read: native histograms, or of a kind that is not known.
    fn passed_over(&mut self, what: &'static str) {
        let _ = what;
    }
}

/// Reads one record. After an error what stands before it in the record was visited.
pub fn decode(record: &[u8], visit: &mut impl Visit) -> Result<(), Error> {
    let mut reader = Reader::new(record);
    match reader.u8()? {
        1 => series(&mut reader, visit),
        2 => samples(&mut reader, visit),
        3 => tombstones(&mut reader, visit),
        5 => markers(&mut reader, visit),
        // Exemplars and metadata: nothing that a query over samples would show.
        4 | 6 => Ok(()),
        7..=10 => {
            visit.passed_over("native histograms");
            Ok(())
        }
        _ => {
            visit.passed_over("records of an unknown kind");
            Ok(())
        }
    }
}

fn series(reader: &mut Reader<'_>, visit: &mut impl Visit) -> Result<(), Error> {
    let mut labels = LabelsBuilder::default();
    while !reader.is_empty() {
        let series = reader.u64()?;
        labels.clear();
        for _ in 0..reader.count()? {
            let (name, value) = (reader.text()?, reader.text()?);
            labels.set(name, value);
        }
        visit.series(series, labels.build());
    }
    Ok(())
}

fn samples(reader: &mut Reader<'_>, visit: &mut impl Visit) -> Result<(), Error> {
    if reader.is_empty() {
        return Ok(());
    }
    let (base_series, base_at) = (reader.u64()?, reader.i64()?);
    while !reader.is_empty() {
        let series = base_series.wrapping_add(reader.varint()?.cast_unsigned());
        let at = base_at.wrapping_add(reader.varint()?);
        visit.sample(series, at, f64::from_bits(reader.u64()?));
    }
    Ok(())
}

fn tombstones(reader: &mut Reader<'_>, visit: &mut impl Visit) -> Result<(), Error> {
    while !reader.is_empty() {
        let series = reader.u64()?;
        visit.tombstone(series, reader.varint()?, reader.varint()?);
    }
    Ok(())
}

fn markers(reader: &mut Reader<'_>, visit: &mut impl Visit) -> Result<(), Error> {
    while !reader.is_empty() {
        let series = reader.u64()?;
        // Where the chunk stands; the walk over the head's chunks finds it anyway.
        reader.u64()?;
        visit.marker(series);
    }
    Ok(())
}
