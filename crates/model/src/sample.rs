//! One value at one time, and the two NaNs that mean something.

use crate::Timestamp;

/// The staleness marker: the NaN that says "this series has ended here". Its bits are part of
/// the remote-write protocol and must survive storage.
pub const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// The hole in a row: this column has no sample at the row's time. It never leaves the program:
/// readers skip it, and whoever takes samples from outside must turn this bit pattern into an
/// ordinary NaN.
pub const ABSENT: f64 = f64::from_bits(0x7ff0_0000_0000_0a0b);

/// The NaN that the text formats mean by `NaN`.
pub const NORMAL_NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0001);

/// Whether `value` is the staleness marker: by bits, for NaN never equals itself.
#[inline]
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE.to_bits()
}

/// Whether `value` is a hole in a row.
#[inline]
pub fn is_absent(value: f64) -> bool {
    value.to_bits() == ABSENT.to_bits()
}

/// One value at one time.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When, in milliseconds since 1970.
    pub at: Timestamp,
    /// What; compare by bits.
    pub value: f64,
}

impl PartialEq for Sample {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at && self.value.to_bits() == other.value.to_bits()
    }
}
