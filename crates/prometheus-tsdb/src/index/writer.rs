//! Makes an index, in memory.

use std::collections::{BTreeMap, BTreeSet};

use narthex_model::Labels;

use super::{ChunkMeta, MAGIC, SERIES_ALIGN, VERSION};
use crate::bytes::{put_text, put_u32, put_u64, put_uvarint, put_varint};

/// Builds an index of version 2.
#[derive(Debug)]
pub struct Writer {
    out: Vec<u8>,
    /// The symbols with their numbers.
    symbols: BTreeMap<String, u32>,
    /// Where the series begin.
    series_at: u64,
    all: Vec<u32>,
    postings: BTreeMap<(u32, u32), Vec<u32>>,
}

impl Writer {
    /// Begins with the symbols: every name and value of a label that will come, in any order.
    pub fn new<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let symbols: BTreeSet<&str> = texts.collect();
        let mut out = Vec::new();
        put_u32(&mut out, MAGIC);
        out.push(VERSION);
        let mut body = Vec::new();
        put_u32(&mut body, count(symbols.len()));
        for text in &symbols {
            put_text(&mut body, text);
        }
        put_section(&mut out, &body);
        let symbols = symbols.into_iter().map(str::to_owned).zip(0..).collect();
        let series_at = out.len() as u64;
        Self { out, symbols, series_at, all: Vec::new(), postings: BTreeMap::new() }
    }

    /// Adds a series, in the order of their labels, with its chunks in the order of time.
    pub fn series(&mut self, labels: &Labels, chunks: &[ChunkMeta]) {
        let mut body = Vec::new();
        put_uvarint(&mut body, labels.len() as u64);
        pad(&mut self.out, SERIES_ALIGN);
        let reference = count(self.out.len() / usize::try_from(SERIES_ALIGN).unwrap_or(1));
        for (name, value) in labels {
            let number = |text| self.symbols.get(text).copied().unwrap_or_default();
            let pair = (number(name), number(value));
            put_uvarint(&mut body, u64::from(pair.0));
            put_uvarint(&mut body, u64::from(pair.1));
            self.postings.entry(pair).or_default().push(reference);
        }
        put_uvarint(&mut body, chunks.len() as u64);
        let mut before: Option<&ChunkMeta> = None;
        for chunk in chunks {
            let (start, end) = chunk.times;
            match before {
                None => put_varint(&mut body, start),
                Some(last) => put_uvarint(&mut body, difference(start, last.times.1)),
            }
            put_uvarint(&mut body, difference(end, start));
            match before {
                None => put_uvarint(&mut body, chunk.reference),
                Some(last) => {
                    let step = chunk.reference.wrapping_sub(last.reference);
                    put_varint(&mut body, step.cast_signed());
                }
            }
            before = Some(chunk);
        }
        put_uvarint(&mut self.out, body.len() as u64);
        self.out.extend_from_slice(&body);
        put_u32(&mut self.out, crc32c::crc32c(&body));
        self.all.push(reference);
    }

    /// The whole file.
    pub fn finish(mut self) -> Vec<u8> {
        let postings_at = self.out.len() as u64;
        let mut table = Vec::new();
        put_u32(&mut table, count(self.postings.len() + 1));
        let all = std::mem::take(&mut self.all);
        self.list("", "", &all, &mut table);
        let mut texts = vec![String::new(); self.symbols.len()];
        for (text, number) in std::mem::take(&mut self.symbols) {
            if let Some(slot) = texts.get_mut(number as usize) {
                *slot = text;
            }
        }
        let text = |number: u32| texts.get(number as usize).map_or("", String::as_str);
        for ((name, value), series) in std::mem::take(&mut self.postings) {
            self.list(text(name), text(value), &series, &mut table);
        }
        // Lists of label values: readers of version 2 do without, and old ones want the table.
        let label_table_at = self.out.len() as u64;
        put_section(&mut self.out, &0u32.to_be_bytes());
        let table_at = self.out.len() as u64;
        put_section(&mut self.out, &table);
        let mut toc = Vec::new();
        let symbols_at = 5;
        for offset in
            [symbols_at, self.series_at, postings_at, label_table_at, postings_at, table_at]
        {
            put_u64(&mut toc, offset);
        }
        self.out.extend_from_slice(&toc);
        put_u32(&mut self.out, crc32c::crc32c(&toc));
        self.out
    }

    /// Writes the series that have a label, and where they stand.
    fn list(&mut self, name: &str, value: &str, series: &[u32], table: &mut Vec<u8>) {
        pad(&mut self.out, 4);
        put_uvarint(table, 2);
        put_text(table, name);
        put_text(table, value);
        put_uvarint(table, self.out.len() as u64);
        let mut body = Vec::with_capacity(4 + series.len() * 4);
        put_u32(&mut body, count(series.len()));
        for &series in series {
            put_u32(&mut body, series);
        }
        put_section(&mut self.out, &body);
    }
}

fn put_section(out: &mut Vec<u8>, body: &[u8]) {
    put_u32(out, count(body.len()));
    out.extend_from_slice(body);
    put_u32(out, crc32c::crc32c(body));
}

fn pad(out: &mut Vec<u8>, align: u64) {
    while !(out.len() as u64).is_multiple_of(align) {
        out.push(0);
    }
}

/// How much later one time is than another, as the unsigned number that Go writes.
fn difference(later: i64, earlier: i64) -> u64 {
    later.wrapping_sub(earlier).cast_unsigned()
}

/// A count as it stands in the file. A block is far from having so many of anything.
fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
