//! Label names and values as numbers: each text is held once.

use std::collections::HashMap;
use std::sync::Arc;

use narthex_model::Hashing;

/// A text of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Symbol(u32);

/// Texts with their number of uses; a text without uses leaves, and its number is used again.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    texts: Vec<(Arc<str>, u32)>,
    numbers: HashMap<Arc<str>, Symbol, Hashing>,
    free: Vec<Symbol>,
    bytes: usize,
}

impl Symbols {
    /// The number of `text`, used once more.
    pub(crate) fn acquire(&mut self, text: &str) -> Symbol {
        if let Some(&symbol) = self.numbers.get(text) {
            if let Some((_, uses)) = self.texts.get_mut(symbol.0 as usize) {
                *uses += 1;
            }
            return symbol;
        }
        let shared: Arc<str> = Arc::from(text);
        self.bytes += text.len();
        let symbol = if let Some(symbol) = self.free.pop() {
            if let Some(slot) = self.texts.get_mut(symbol.0 as usize) {
                *slot = (Arc::clone(&shared), 1);
            }
            symbol
        } else {
            self.texts.push((Arc::clone(&shared), 1));
            // Each symbol stands for at least one of at most 2^32 series' labels in memory.
            Symbol(u32::try_from(self.texts.len() - 1).unwrap_or(u32::MAX))
        };
        self.numbers.insert(shared, symbol);
        symbol
    }

    /// Takes back one use of `symbol`.
    pub(crate) fn release(&mut self, symbol: Symbol) {
        let Some((text, uses)) = self.texts.get_mut(symbol.0 as usize) else { return };
        *uses = uses.saturating_sub(1);
        if *uses == 0 {
            self.bytes -= text.len();
            self.numbers.remove(text);
            *text = Arc::from("");
            self.free.push(symbol);
        }
    }

    /// The number of `text`, if it is in use.
    pub(crate) fn find(&self, text: &str) -> Option<Symbol> {
        self.numbers.get(text).copied()
    }

    /// The text of `symbol`.
    pub(crate) fn text(&self, symbol: Symbol) -> &str {
        self.texts.get(symbol.0 as usize).map_or("", |(text, _)| text)
    }

    /// Bytes of all texts.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_lives_as_long_as_its_uses() {
        let mut symbols = Symbols::default();
        let a = symbols.acquire("job");
        let b = symbols.acquire("node");
        assert_eq!(symbols.acquire("job"), a);
        symbols.release(a);
        assert_eq!(symbols.find("job"), Some(a));
        symbols.release(a);
        assert_eq!(symbols.find("job"), None);
        assert_eq!(symbols.text(b), "node");
        assert_eq!(symbols.bytes(), 4);
        let c = symbols.acquire("instance");
        assert_eq!(symbols.text(c), "instance");
        assert_eq!(symbols.find("node"), Some(b));
    }
}
