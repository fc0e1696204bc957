//! The strings of a block, sorted, each once. Groups of sixteen share prefixes.

use std::collections::HashMap;

use narthex_model::Hashing;

use super::fault::Fault;
use super::format::GROUP;
use super::index::Starts;
use super::reader::Block;
use crate::codec::Damaged;
use crate::codec::wire::{Reader, put_varint};

/// The strings of a block that is being written.
#[derive(Debug)]
pub(super) struct SymbolTable<'a> {
    sorted: Vec<&'a str>,
    numbers: HashMap<&'a str, u32, Hashing>,
}

impl<'a> SymbolTable<'a> {
    /// Sorts and numbers `strings`.
    pub(super) fn new(strings: impl Iterator<Item = &'a str>) -> Self {
        let mut numbers: HashMap<&str, u32, _> = HashMap::with_hasher(Hashing::default());
        numbers.extend(strings.map(|string| (string, 0)));
        let mut sorted: Vec<&str> = numbers.keys().copied().collect();
        sorted.sort_unstable();
        for (number, string) in (0..).zip(&sorted) {
            numbers.insert(string, number);
        }
        Self { sorted, numbers }
    }

    /// The number of a string of the table.
    pub(super) fn number(&self, string: &str) -> u32 {
        self.numbers.get(string).copied().unwrap_or(0)
    }

    /// The strings, in order.
    pub(super) fn sorted(&self) -> &[&'a str] {
        &self.sorted
    }
}

/// Encodes symbols, which come in order.
#[derive(Debug, Default)]
pub(super) struct SymbolEncoder {
    pub(super) starts: Starts,
    before: Vec<u8>,
    piece: Vec<u8>,
}

impl SymbolEncoder {
    /// The entry of the next symbol.
    pub(super) fn encode(&mut self, text: &[u8]) -> &[u8] {
        if self.starts.at_group() {
            self.before.clear();
        }
        let shared = self.before.iter().zip(text).take_while(|(a, b)| a == b).count();
        let rest = text.get(shared..).unwrap_or(&[]);
        self.piece.clear();
        put_varint(&mut self.piece, shared as u64);
        put_varint(&mut self.piece, rest.len() as u64);
        self.piece.extend_from_slice(rest);
        self.before.truncate(shared);
        self.before.extend_from_slice(rest);
        self.starts.add(self.piece.len());
        &self.piece
    }
}

/// Walks the symbols of an open block; cheap when asked for rising numbers.
#[derive(Debug)]
pub(super) struct SymbolCursor<'a> {
    block: &'a Block,
    /// What is left of the group, and where it stands in the file.
    rest: Reader<'a>,
    place: u64,
    /// The number of the symbol in `text`; `None` before the first.
    at: Option<u32>,
    text: Vec<u8>,
}

impl<'a> SymbolCursor<'a> {
    /// Stands before all symbols.
    pub(super) fn new(block: &'a Block) -> Self {
        Self { block, rest: Reader::new(&[]), place: 0, at: None, text: Vec::new() }
    }

    /// The string with this number.
    pub(super) fn get(&mut self, number: u32) -> Result<&str, Fault> {
        let reachable = |at: u32| at <= number && at / GROUP == number / GROUP;
        if !self.at.is_some_and(reachable) {
            self.at = None;
            (self.rest, self.place) = self.block.symbol_group(number / GROUP)?;
            self.text.clear();
            self.advance()?;
            self.at = Some(number - number % GROUP);
        }
        while let Some(at) = self.at
            && at < number
        {
            if let Err(fault) = self.advance() {
                self.at = None;
                return Err(fault);
            }
            self.at = Some(at + 1);
        }
        std::str::from_utf8(&self.text).map_err(|_| Fault::new(self.place, "symbol is not UTF-8"))
    }

    /// The bytes of the string that was asked for last.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    fn advance(&mut self) -> Result<(), Fault> {
        next_symbol(&mut self.rest, &mut self.text).map_err(Fault::decoding(self.place))
    }
}

fn next_symbol(reader: &mut Reader<'_>, text: &mut Vec<u8>) -> Result<(), Damaged> {
    let shared = reader.count(text.len())?;
    let len = reader.count(reader.rest().len())?;
    text.truncate(shared);
    text.extend_from_slice(reader.take(len)?);
    Ok(())
}

/// The number of `text` in a block, if it is there.
pub(super) fn find(block: &Block, text: &str) -> Result<Option<u32>, Fault> {
    let mut cursor = SymbolCursor::new(block);
    // The last group whose first symbol is not above the text.
    let (mut low, mut high) = (0, block.symbol_count().div_ceil(GROUP));
    while low < high {
        let middle = low + (high - low) / 2;
        if cursor.get(middle * GROUP)? <= text {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let Some(group) = low.checked_sub(1) else { return Ok(None) };
    for number in group * GROUP..((group + 1) * GROUP).min(block.symbol_count()) {
        match cursor.get(number)?.cmp(text) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => return Ok(Some(number)),
            std::cmp::Ordering::Greater => break,
        }
    }
    Ok(None)
}
