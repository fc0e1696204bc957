//! An open block.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use narthex_model::{Labels, LabelsBuilder, TimeRange};

use super::Meta;
use super::fault::Fault;
use super::format::{
    Arrays, ChunkRecord, FOOTER_ALIGN, FOOTER_MAGIC, Footer, GROUP, LayoutRecord, NameRecord, Span,
    TAIL_BYTES,
};
use super::parity::Mended;
use super::section::{Section, slice, u32_at};
use super::select::SeriesIndex;
use super::sizes::ArrayBytes;
use super::symbols::SymbolCursor;
use crate::codec::wire::Reader;
use crate::fs::FileView;
use crate::{Error, LayoutRef, RowSeq, SeriesRef, SourceRef};

pub(crate) use super::read::Scratch;

const SYMBOLS: usize = 0;
const SERIES: usize = 1;
const COLUMNS: usize = 2;
const POSTINGS: usize = 3;

/// Numbers open blocks, so that what was read from one is not taken for another's.
static SERIAL: AtomicU64 = AtomicU64::new(1);

/// A block file, open for reading. It takes a few hundred bytes of memory beside the map.
///
/// Damage is met in one of three ways: a query that meets it leaves the damaged piece out, adds a
/// warning that names file and offset, and goes on; [`Block::verify`] lists it; only a file that
/// has lost both footers, or is not of the length they tell, does not open.
#[derive(Debug)]
pub struct Block {
    name: String,
    view: FileView,
    footer: Footer,
    /// Where the footer's body stands that is used.
    body: u64,
    arrays: Arrays,
    sections: [Section; 4],
    serial: u64,
    faults: AtomicU64,
    /// Damage was met, which may have to be mended.
    worn: AtomicBool,
    /// The section with a page that was rebuilt, sought when first needed.
    mended: OnceLock<Option<Mended>>,
}

/// A chunk of a block: rows of one layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkInfo {
    /// The layout of the rows.
    pub layout: LayoutRef,
    /// The source that the layout belongs to.
    pub source: SourceRef,
    /// The times of the first and the last row.
    pub times: TimeRange,
    /// How many rows.
    pub rows: u32,
    /// The layout's column that is the chunk's first.
    pub first_column: u32,
    /// How many columns.
    pub columns: u32,
    /// The first and the last row in the order of all rows; 0 if that was not kept.
    pub seqs: (RowSeq, RowSeq),
}

/// A series' entry in the index.
#[derive(Debug)]
pub(super) struct SeriesRecord<'a> {
    pub(super) series: SeriesRef,
    /// The label names' symbols, and behind them in the entry the values'.
    names: Reader<'a>,
    rest: Reader<'a>,
    place: u64,
}

impl Block {
    /// Opens the file `name`, which is only used in messages, by its bytes. Looks at the footer
    /// alone.
    pub fn open(name: &str, view: FileView) -> Result<Self, Error> {
        Self::find(name, view).map_err(|fault| fault.into_error(name))
    }

    fn find(name: &str, view: FileView) -> Result<Self, Fault> {
        let len = view.len() as u64;
        let first = Self::at(&view, len);
        let worn = AtomicBool::new(first.is_err());
        let found = first.or_else(|fault| {
            // The last footer is damaged: the other ends at a multiple of FOOTER_ALIGN as well.
            let mut end = len / FOOTER_ALIGN * FOOTER_ALIGN;
            while end > 0 {
                if let Ok(found) = Self::at(&view, end) {
                    return Ok(found);
                }
                end -= FOOTER_ALIGN;
            }
            Err(fault)
        });
        let (footer, body, arrays) = found?;
        let [symbols, series, columns, postings] = footer.sections;
        let section = |span| Section::new(span, len);
        let sections = [section(symbols)?, section(series)?, section(columns)?, section(postings)?];
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let (name, faults) = (name.to_owned(), AtomicU64::new(0));
        let mended = OnceLock::new();
        Ok(Self { name, view, footer, body, arrays, sections, serial, faults, worn, mended })
    }

    /// The footer that ends at `end`, and where its body stands.
    pub(super) fn at(view: &[u8], end: u64) -> Result<(Footer, u64, Arrays), Fault> {
        let tail_offset = end.saturating_sub(TAIL_BYTES as u64);
        let decoding = Fault::decoding(tail_offset);
        let mut tail = Reader::new(slice(view, tail_offset, TAIL_BYTES as u64)?);
        let (body_bytes, expected) =
            (tail.u32().map_err(&decoding)?, tail.u32().map_err(&decoding)?);
        if tail.array().map_err(&decoding)? != FOOTER_MAGIC {
            return Err(Fault::new(tail_offset, "no footer"));
        }
        let offset = tail_offset
            .checked_sub(u64::from(body_bytes))
            .ok_or(Fault::new(tail_offset, "footer longer than the file"))?;
        let body = slice(view, offset, u64::from(body_bytes))?;
        let found = crc32c::crc32c(body);
        if found != expected {
            return Err(Fault { offset, what: "footer checksum", sums: Some((expected, found)) });
        }
        let footer = Footer::parse(body).map_err(Fault::decoding(offset))?;
        if footer.meta.bytes != view.len() as u64 {
            return Err(Fault::new(offset, "file of another length than its footer tells"));
        }
        let arrays = Arrays::of(&footer, body.len(), offset)?;
        Ok((footer, offset, arrays))
    }

    /// What the block is about.
    pub fn meta(&self) -> Meta {
        self.footer.meta
    }

    /// The file's name, as given to [`Block::open`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How often damage was met since the block was opened.
    pub(crate) fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }

    /// How many series there are; their [`SeriesIndex`]es count up from 0 in order of labels.
    pub(crate) fn series_count(&self) -> u32 {
        self.footer.meta.series
    }

    /// The name that the series has in the whole store.
    pub(crate) fn series_ref(&self, index: SeriesIndex) -> Result<SeriesRef, Error> {
        self.series(index.0).map(|record| record.series).map_err(|fault| self.error(fault))
    }

    /// The labels of a series.
    pub(crate) fn labels(&self, index: SeriesIndex) -> Result<Labels, Error> {
        self.series_labels(index.0).map_err(|fault| self.error(fault))
    }

    /// The chunks, by layout and time.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = ChunkInfo> {
        (0..self.footer.meta.chunks).filter_map(|number| {
            let record = self.record(number).ok()?;
            let layout = self.layout_record(record.layout).ok()?;
            Some(ChunkInfo {
                layout: LayoutRef(layout.layout),
                source: SourceRef(layout.source),
                times: record.times,
                rows: record.rows,
                first_column: record.first_column,
                columns: record.columns,
                seqs: record.seqs,
            })
        })
    }

    /// The columns of a layout of the block, from its first on.
    pub(crate) fn layout_columns(&self, layout: LayoutRef) -> Result<Vec<SeriesRef>, Error> {
        let read = || {
            for number in 0..self.footer.layouts {
                let record = self.layout_record(number)?;
                if record.layout == layout.0 {
                    return self.columns(&record);
                }
            }
            Ok(Vec::new())
        };
        read().map_err(|fault| self.error(fault))
    }

    fn columns(&self, record: &LayoutRecord) -> Result<Vec<SeriesRef>, Fault> {
        let end = record.offset.saturating_add(u64::from(record.bytes));
        let (bytes, place) = self.piece(COLUMNS, record.offset, end)?;
        let mut reader = Reader::new(bytes);
        let (mut columns, mut before) = (Vec::new(), 0i64);
        while !reader.is_empty() {
            before = before.wrapping_add(reader.signed().map_err(Fault::decoding(place))?);
            let series = u32::try_from(before).ok().and_then(SeriesRef::new);
            columns.push(series.ok_or(Fault::new(place, "a column without series"))?);
        }
        Ok(columns)
    }

    /// As an error that names the file; counts it.
    pub(super) fn error(&self, fault: Fault) -> Error {
        self.faults.fetch_add(1, Ordering::Relaxed);
        self.wear();
        fault.into_error(&self.name)
    }

    /// Takes note of damage.
    pub(crate) fn wear(&self) {
        self.worn.store(true, Ordering::Relaxed);
    }

    /// Whether damage was met since the block was opened.
    pub(crate) fn is_worn(&self) -> bool {
        self.worn.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.view
    }

    pub(crate) fn id(&self) -> u64 {
        self.footer.id
    }

    /// Differs from that of every other block that this process has opened.
    pub(super) fn serial(&self) -> u64 {
        self.serial
    }

    /// Where the two footers end.
    pub(super) fn footer_ends(&self) -> [u64; 2] {
        // The postings stand between them.
        let first = self.footer.sections.get(POSTINGS).map_or(0, |span| span.offset);
        [first, self.footer.meta.bytes]
    }

    /// Where the footer begins that is used.
    pub(super) fn footer_start(&self) -> u64 {
        self.body
    }

    /// What a footer takes.
    pub(super) fn footer_len(&self) -> u64 {
        let is_ours = |end: &u64| *end > self.body;
        let end = self.footer_ends().into_iter().find(is_ours).unwrap_or(self.body);
        end - self.body
    }

    /// What the sections take, with the checksums of their pages.
    pub(super) fn section_bytes(&self) -> [u64; 4] {
        self.sections.each_ref().map(Section::len_with_checksums)
    }

    /// What the arrays of the footer take.
    pub(super) fn array_bytes(&self) -> ArrayBytes {
        ArrayBytes::new(self.footer.meta.chunks, self.footer.layouts, &self.arrays)
    }

    /// All pages of the index, by section and number.
    pub(super) fn index_pages(&self) -> impl Iterator<Item = (usize, u64)> {
        let sections = self.sections.iter().enumerate();
        sections.flat_map(|(number, section)| (0..section.pages()).map(move |page| (number, page)))
    }

    fn section(&self, number: usize) -> Result<&Section, Fault> {
        self.sections.get(number).ok_or(Fault::new(0, "no such section"))
    }

    /// A page of a section, checked now.
    pub(super) fn page(&self, section: usize, page: u64) -> Result<&[u8], Fault> {
        self.section(section)?.compare(self.bytes(), self.id(), page)
    }

    /// Where a page stands, its bytes and its checksum, whatever they are.
    pub(super) fn page_unchecked(
        &self,
        section: usize,
        page: u64,
    ) -> Result<(u64, &[u8], u32), Fault> {
        self.section(section)?.stored(self.bytes(), page)
    }

    /// Where a page and its checksum stand in the file.
    pub(super) fn page_places(&self, section: usize, page: u64) -> Result<(u64, u64), Fault> {
        Ok(self.section(section)?.places(page))
    }

    /// The bytes of a section, whatever they are.
    pub(super) fn section_unchecked(&self, section: usize) -> Result<&[u8], Fault> {
        self.section(section)?.all(self.bytes())
    }

    /// Where the parity of the index stands, without its checksum.
    pub(super) fn parity_span(&self) -> Span {
        let postings = self.sections.get(POSTINGS);
        let offset = postings.map_or(0, |it| it.place(it.len_with_checksums()));
        Span { offset, bytes: u64::from(self.footer.parity_bytes) }
    }

    /// The section of which a damaged page could be rebuilt.
    pub(super) fn mended(&self) -> Option<&Mended> {
        self.mended.get_or_init(|| self.rebuild()).as_ref()
    }

    fn piece(&self, number: usize, start: u64, end: u64) -> Result<(&[u8], u64), Fault> {
        let section = self.section(number)?;
        let place = section.place(start);
        let fault = match section.get(self.bytes(), self.id(), start, end) {
            Ok(bytes) => return Ok((bytes, place)),
            Err(fault) => fault,
        };
        let mended =
            self.mended().filter(|mended| fault.sums.is_some() && mended.section == number);
        Ok((slice(&mended.ok_or(fault)?.bytes, start, end.saturating_sub(start))?, place))
    }

    pub(super) fn postings_bytes(&self, start: u64, end: u64) -> Result<(&[u8], u64), Fault> {
        self.piece(POSTINGS, start, end)
    }

    pub(super) fn postings_len(&self) -> u64 {
        self.sections.get(POSTINGS).map_or(0, Section::len)
    }

    pub(super) fn layout_count(&self) -> u32 {
        self.footer.layouts
    }

    /// The list of a layout's columns, as it stands in the file.
    pub(super) fn column_list(&self, record: &LayoutRecord) -> Result<&[u8], Fault> {
        let end = record.offset.saturating_add(u64::from(record.bytes));
        self.piece(COLUMNS, record.offset, end).map(|(bytes, _)| bytes)
    }

    pub(super) fn symbol_count(&self) -> u32 {
        self.footer.symbols
    }

    /// Bytes of the footer's arrays; its checksum was found good.
    fn array(&self, start: usize, index: u32, bytes: usize) -> Result<&[u8], Fault> {
        let at = start.saturating_add((index as usize).saturating_mul(bytes));
        let at = self.body.saturating_add(at as u64);
        slice(self.bytes(), at, bytes as u64)
    }

    pub(super) fn record(&self, chunk: u32) -> Result<ChunkRecord, Fault> {
        if chunk >= self.footer.meta.chunks {
            return Err(Fault::new(self.body, "no such chunk"));
        }
        let bytes = self.array(self.arrays.chunks, chunk, ChunkRecord::BYTES)?;
        ChunkRecord::parse(bytes).map_err(Fault::decoding(self.body))
    }

    pub(super) fn layout_record(&self, layout: u32) -> Result<LayoutRecord, Fault> {
        if layout >= self.footer.layouts {
            return Err(Fault::new(self.body, "no such layout"));
        }
        let bytes = self.array(self.arrays.layouts, layout, LayoutRecord::BYTES)?;
        LayoutRecord::parse(bytes).map_err(Fault::decoding(self.body))
    }

    /// The label names, in order of their symbols, which is that of their text.
    pub(super) fn names(&self) -> impl Iterator<Item = Result<NameRecord, Fault>> {
        (0..self.footer.names).map(|index| self.name_record(index))
    }

    fn name_record(&self, index: u32) -> Result<NameRecord, Fault> {
        let bytes = self.array(self.arrays.names, index, NameRecord::BYTES)?;
        NameRecord::parse(bytes).map_err(Fault::decoding(self.body))
    }

    /// The record of the label name with this symbol.
    pub(super) fn find_name(&self, symbol: u32) -> Result<Option<NameRecord>, Fault> {
        let (mut low, mut high) = (0, self.footer.names);
        while low < high {
            let middle = low + (high - low) / 2;
            let record = self.name_record(middle)?;
            match record.symbol.cmp(&symbol) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Ok(Some(record)),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }

    /// A group of symbols, and where it stands in the file.
    pub(super) fn symbol_group(&self, group: u32) -> Result<(Reader<'_>, u64), Fault> {
        self.group(SYMBOLS, self.arrays.symbol_groups, group, self.footer.symbols)
    }

    fn group(
        &self,
        section: usize,
        starts: usize,
        group: u32,
        count: u32,
    ) -> Result<(Reader<'_>, u64), Fault> {
        if group >= count.div_ceil(GROUP) {
            return Err(Fault::new(self.body, "no such group"));
        }
        let start = |group| Ok(u32_at(self.array(starts, group, 4)?, 0).unwrap_or(0));
        let (start, end) = (start(group)?, start(group + 1)?);
        let (bytes, place) = self.piece(section, u64::from(start), u64::from(end))?;
        Ok((Reader::new(bytes), place))
    }

    /// A series' entry.
    pub(super) fn series(&self, index: u32) -> Result<SeriesRecord<'_>, Fault> {
        let (mut reader, place) =
            self.group(SERIES, self.arrays.series_groups, index / GROUP, self.series_count())?;
        let fault = Fault::decoding(place);
        for _ in 0..index % GROUP {
            let len = reader.count(reader.rest().len()).map_err(&fault)?;
            reader.take(len).map_err(&fault)?;
        }
        let len = reader.count(reader.rest().len()).map_err(&fault)?;
        let mut rest = Reader::new(reader.take(len).map_err(&fault)?);
        let series = SeriesRef::new(rest.varint_u32().map_err(&fault)?);
        let series = series.ok_or(Fault::new(place, "a series without a name"))?;
        let shape = rest.varint_u32().map_err(&fault)?;
        Ok(SeriesRecord { series, names: self.shape(shape)?, rest, place })
    }

    /// The names of a shape, as their symbols.
    fn shape(&self, shape: u32) -> Result<Reader<'_>, Fault> {
        if shape >= self.footer.shapes {
            return Err(Fault::new(self.body, "no such shape"));
        }
        let end_of =
            |shape| Ok(u32_at(self.array(self.arrays.shape_ends, shape, 4)?, 0).unwrap_or(0));
        let start = shape.checked_sub(1).map_or(Ok(0), end_of)?;
        let end = end_of(shape)?;
        let at = self.body + (self.arrays.shape_bytes as u64) + u64::from(start);
        slice(self.bytes(), at, u64::from(end.saturating_sub(start))).map(Reader::new)
    }

    pub(super) fn series_labels(&self, index: u32) -> Result<Labels, Fault> {
        let mut builder = LabelsBuilder::default();
        let (mut names, mut values) = (SymbolCursor::new(self), SymbolCursor::new(self));
        self.series(index)?.labels(|name, value| {
            builder.set(names.get(name)?, values.get(value)?);
            Ok(())
        })?;
        Ok(builder.build())
    }
}

impl<'a> SeriesRecord<'a> {
    /// Calls `visit` with each label: the symbols of name and value. Gives what stands behind.
    pub(super) fn labels(
        &self,
        mut visit: impl FnMut(u32, u32) -> Result<(), Fault>,
    ) -> Result<Reader<'a>, Fault> {
        let (mut names, mut rest) = (self.names, self.rest);
        let fault = Fault::decoding(self.place);
        while !names.is_empty() {
            let name = names.varint_u32().map_err(&fault)?;
            visit(name, rest.varint_u32().map_err(&fault)?)?;
        }
        Ok(rest)
    }

    /// Where the series' columns stand: position of the layout, column; in place of what `out`
    /// held.
    pub(super) fn placements(&self, out: &mut Vec<(u32, u32)>) -> Result<(), Fault> {
        out.clear();
        let mut rest = self.labels(|_, _| Ok(()))?;
        let fault = Fault::decoding(self.place);
        let count = rest.count(rest.rest().len()).map_err(&fault)?;
        for _ in 0..count {
            let layout = rest.varint_u32().map_err(&fault)?;
            out.push((layout, rest.varint_u32().map_err(&fault)?));
        }
        Ok(())
    }
}
