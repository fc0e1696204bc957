//! The message of remote write 2.0, `io.prometheus.write.v2.Request`.

use crate::answer::Reason;
use crate::batch::Items;
use crate::exemplar::Exemplar;
use crate::key::Key;
use crate::labels::Pairs;
use crate::otlp::LABEL_BYTES_MAX;
use crate::receiver::{Intake, Met};
use crate::wire::{Field, Fields, Malformed};

/// Most symbols of a request; each costs some memory while it is read.
pub(crate) const SYMBOLS_MAX: usize = 1 << 16;

/// Most series of a request: no sender has as many, and each takes time even when it is empty.
pub(crate) const SERIES_MAX: usize = 100_000;

/// Where the parts of a series stand.
const ITEMS: Items = Items { samples: 2, exemplars: 4, histograms: 3 };

/// Why a message cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("more than {SYMBOLS_MAX} symbols")]
    Symbols,
    #[error("more than {SERIES_MAX} series")]
    Series,
    #[error("too many buckets of native histograms")]
    Parts,
    #[error("the labels of all series take more than {LABEL_BYTES_MAX} bytes")]
    Labels,
}

/// A text that series refer to.
#[derive(Clone, Copy, Debug)]
struct Symbol<'a> {
    text: &'a [u8],
    key: Key,
}

/// Takes every series of the message.
pub(crate) fn walk(message: &[u8], intake: &mut Intake<'_>) -> Result<(), Unreadable> {
    let symbols = symbols(message, intake)?;
    let mut fields = Fields::new(message);
    let mut left = SERIES_MAX;
    while let Some(field) = fields.next()? {
        if field.number == 5 {
            left = left.checked_sub(1).ok_or(Unreadable::Series)?;
            series(field.bytes()?, &symbols, intake)?;
        }
    }
    Ok(())
}

fn symbols<'a>(message: &'a [u8], intake: &Intake<'_>) -> Result<Vec<Symbol<'a>>, Unreadable> {
    let mut symbols = Vec::new();
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        if field.number == 4 {
            if symbols.len() == SYMBOLS_MAX {
                return Err(Unreadable::Symbols);
            }
            let text = field.bytes()?;
            symbols.push(Symbol { text, key: intake.receiver.keys.of_bytes(text) });
        }
    }
    Ok(symbols)
}

fn series(
    message: &[u8],
    symbols: &[Symbol<'_>],
    intake: &mut Intake<'_>,
) -> Result<(), Malformed> {
    let mut key = intake.receiver.keys.list();
    let mut missing = false;
    let mut count = 0usize;
    each_reference(message, |reference| {
        count += 1;
        match symbol(symbols, reference) {
            Some(symbol) => key.add(symbol.key),
            None => missing = true,
        }
    })?;
    let met = if missing || !count.is_multiple_of(2) {
        Met::Bad(Reason::BadSymbol)
    } else {
        intake.meet(key.finish(), || labels(message, symbols))?
    };
    if let Met::Bad(reason) = met {
        // Also where there is no sample that could be refused.
        intake.answer.refused.add(reason, 0, String::new);
    }
    let shown = || labels(message, symbols).ok()?.ok()?.build().ok();
    intake.items(met, message, ITEMS, shown, |message| exemplar(message, symbols))
}

/// Reads an exemplar; `None` if nobody could keep it.
fn exemplar(message: &[u8], symbols: &[Symbol<'_>]) -> Result<Option<Exemplar>, Malformed> {
    let mut name: Option<&[u8]> = None;
    let mut whole = true;
    let read = Exemplar::read(message, |field, pairs| {
        let mut outcome = Ok(());
        each_number(&field, |reference| {
            let text = symbol(symbols, reference).map(|symbol| symbol.text);
            whole &= text.is_some();
            let text = text.unwrap_or_default();
            match name.take() {
                None => name = Some(text),
                Some(name) if outcome.is_ok() => outcome = pairs.push(name, text),
                Some(_) => {}
            }
        })?;
        Ok(outcome)
    })?;
    Ok(read.filter(|_| whole && name.is_none()))
}

fn symbol<'s, 'a>(symbols: &'s [Symbol<'a>], reference: u64) -> Option<&'s Symbol<'a>> {
    symbols.get(usize::try_from(reference).ok()?)
}

/// Calls `each` with the references of a series, packed or not.
fn each_reference(message: &[u8], mut each: impl FnMut(u64)) -> Result<(), Malformed> {
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        if field.number == 1 {
            each_number(&field, &mut each)?;
        }
    }
    Ok(())
}

/// Calls `each` with the numbers of a field, packed or not.
fn each_number(field: &Field<'_>, mut each: impl FnMut(u64)) -> Result<(), Malformed> {
    if let Ok(single) = field.varint() {
        each(single);
        return Ok(());
    }
    let mut packed = Fields::new(field.bytes()?);
    while let Some(number) = packed.packed()? {
        each(number);
    }
    Ok(())
}

fn labels<'a>(
    message: &[u8],
    symbols: &[Symbol<'a>],
) -> Result<Result<Pairs<'a>, Reason>, Malformed> {
    let mut pairs = Pairs::default();
    let mut name: Option<&'a [u8]> = None;
    let mut outcome = Ok(());
    each_reference(message, |reference| {
        let text = symbol(symbols, reference).map_or(&[][..], |symbol| symbol.text);
        match name.take() {
            None => name = Some(text),
            Some(_) if outcome.is_err() => {}
            Some(name) => outcome = pairs.push(name, text),
        }
    })?;
    Ok(outcome.map(|()| pairs))
}
