//! Angles reduced to an eighth of the circle.

use std::f64::consts::{FRAC_PI_4, PI};

/// From here on the simple reduction loses digits.
const LARGE: f64 = 536_870_912.0;

/// A quarter of pi in three parts, the first two with zeros at their ends.
const PARTS: [f64; 3] = [
    7.853_981_256_484_985_351_56e-1,
    3.774_894_707_930_798_176_68e-8,
    2.695_151_429_079_059_526_45e-15,
];

/// The binary digits of 4 / pi, 64 at a time, from the one before the point on.
const DIGITS: [u64; 20] = [
    0x0000_0000_0000_0001,
    0x45f3_06dc_9c88_2a53,
    0xf84e_afa3_ea69_bb81,
    0xb6c5_2b32_7887_2083,
    0xfca2_c757_bd77_8ac3,
    0x6e48_dc74_849b_a5c0,
    0x0c92_5dd4_13a3_2439,
    0xfc3b_d639_6253_4e7d,
    0xd104_6bea_5d76_8909,
    0xd338_e04d_68be_fc82,
    0x7323_ac73_06a6_73e9,
    0x3908_bf17_7bf2_5076,
    0x3ff1_2fff_bc0b_301f,
    0xde5e_2316_b414_da3e,
    0xda6c_fd9e_4f96_136e,
    0x9e8c_7ecd_3cbf_d45a,
    0xea4f_758f_d7cb_e2f6,
    0x7a0e_73ef_14a5_25d4,
    0xd7f6_bf62_3f1a_ba10,
    0xac06_608d_f8f6_d757,
];

/// Splits a positive finite angle into eighths of the circle, an even number of them up to 8, and
/// what is left, which lies within an eighth around zero.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "below 2^30"
)]
pub(super) fn eighths(x: f64) -> (u64, f64) {
    if x >= LARGE {
        return eighths_of_large(x);
    }
    let mut eighths = (x * (4.0 / PI)) as u64;
    let mut whole = eighths as f64;
    if eighths & 1 == 1 {
        eighths += 1;
        whole += 1.0;
    }
    let [first, second, third] = PARTS;
    (eighths & 7, ((x - whole * first) - whole * second) - whole * third)
}

/// The same by a multiplication with as many digits of 4 / pi as matter.
fn eighths_of_large(x: f64) -> (u64, f64) {
    const MANTISSA: u32 = 52;
    const BIAS: u64 = 1023;
    let bits = x.to_bits();
    let exponent = (bits >> MANTISSA) & 0x7ff;
    let whole = (bits & ((1 << MANTISSA) - 1)) | (1 << MANTISSA);
    let place = exponent + 61 - BIAS - u64::from(MANTISSA);
    let (digit, shift) = (usize::try_from(place / 64).unwrap_or(0), place % 64);
    let digits = |index: usize| {
        let at = |index: usize| DIGITS.get(index).copied().unwrap_or(0);
        let next = if shift == 0 { 0 } else { at(index + 1) >> (64 - shift) };
        (at(index) << shift) | next
    };
    let wide = |digits: u64| u128::from(digits) * u128::from(whole);
    let upper = digits(digit).wrapping_mul(whole);
    let product = (u128::from(upper) << 64)
        .wrapping_add(wide(digits(digit + 1)))
        .wrapping_add(wide(digits(digit + 2)) >> 64);
    let eighths = u64::try_from(product >> 125).unwrap_or(0);
    let high = u64::try_from(product << 3 >> 64).unwrap_or(0);
    // Go fills up with these bits, not with those that follow the ones above.
    let low = u64::try_from(product & u128::from(u64::MAX)).unwrap_or(0);
    // As a number: the leading one is implied.
    let zeros = high.leading_zeros();
    let shifted = match zeros + 1 {
        65.. => 0,
        64 => low,
        shift => (high << shift) | (low >> (64 - shift)),
    };
    let exponent = BIAS - u64::from(zeros + 1);
    let left = f64::from_bits((shifted >> (64 - MANTISSA)) | (exponent << MANTISSA));
    if eighths & 1 == 1 {
        return ((eighths + 1) & 7, (left - 1.0) * FRAC_PI_4);
    }
    (eighths, left * FRAC_PI_4)
}
