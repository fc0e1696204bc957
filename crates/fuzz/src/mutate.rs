//! Seeded mutations, for runs without libFuzzer.

/// Changes inputs in random ways; the same seed gives the same changes.
#[derive(Clone, Debug)]
pub struct Mutator(u64);

/// Bytes that mean something to one of the readers.
const TOKENS: &[&[u8]] = &[
    b"\0",
    b"\n",
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"(",
    b"[",
    b"]",
    b"# EOF\n",
    b"# TYPE ",
    b"NaN",
    b"+Inf",
    b"1e309",
    b"-0",
    b"9223372036854775808",
    b"@",
    b" offset ",
    b"[5m:1s]",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xd6\x9b",
    b"by(",
    b"on()",
    b"group_left()",
    b".*",
    b"(?i)",
    b"{1000}",
];

impl Mutator {
    /// A mutator that begins at `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % limit.max(1)
    }

    /// A changed copy of `input`, with pieces of `other` now and then.
    pub fn mutate(&mut self, input: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = input.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            let end = (at + self.below(16)).min(bytes.len());
            match self.below(7) {
                0 => bytes.truncate(at),
                1 => drop(bytes.drain(at..end)),
                2 => {
                    let piece = bytes.get(at..end).unwrap_or_default().to_vec();
                    bytes.splice(at..at, piece);
                }
                3 => {
                    let token = TOKENS.get(self.below(TOKENS.len())).copied().unwrap_or_default();
                    bytes.splice(at..at, token.iter().copied());
                }
                4 => {
                    let from = self.below(other.len());
                    let to = (from + self.below(64)).min(other.len());
                    let piece = other.get(from..to).unwrap_or_default().to_vec();
                    bytes.splice(at..end, piece);
                }
                _ => {
                    let random = u8::try_from(self.below(256)).unwrap_or(0);
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= random;
                    }
                }
            }
        }
        bytes
    }
}
