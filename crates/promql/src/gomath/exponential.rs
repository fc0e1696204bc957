//! The exponential function, after Shibata's method for vector units.

/// Coefficients of the series, highest power first: 1 / 8! to 1 / 2!, and 1.
const SERIES: [f64; 8] = [
    2.480_158_730_158_730_158_7e-5,
    1.984_126_984_126_984_127_0e-4,
    1.388_888_888_888_888_888_9e-3,
    8.333_333_333_333_333_333_3e-3,
    4.166_666_666_666_666_666_7e-2,
    1.666_666_666_666_666_666_7e-1,
    0.5,
    1.0,
];

/// The natural logarithm of 2 in two parts.
const LN_2_UPPER: f64 = 0.693_147_180_559_662_956_511_601_805_686_950_683_593_75;
const LN_2_LOWER: f64 = 0.282_352_905_630_315_771_225_884_481_750_134_360_255_254_120_68e-12;

const OVERFLOW: f64 = 7.097_827_128_933_84e2;

/// e to the power of `x`.
#[expect(clippy::cast_possible_truncation, reason = "the exponent is held within its range")]
pub(crate) fn exp(x: f64) -> f64 {
    if x.is_nan() || x == f64::INFINITY {
        return x;
    }
    if x > OVERFLOW {
        return f64::INFINITY;
    }
    let exponent = (std::f64::consts::LOG2_E * x).round_ties_even();
    if exponent < -1100.0 {
        return 0.0;
    }
    let rest = exponent.mul_add(-LN_2_LOWER, exponent.mul_add(-LN_2_UPPER, x));
    let part = rest * 0.0625;
    let series = SERIES.iter().copied().reduce(|sum, next| sum.mul_add(part, next));
    // e^part - 1, squared four times: (1 + y)^2 - 1 is y * (y + 2).
    let mut grown = part * series.unwrap_or(1.0);
    for _ in 0..3 {
        grown *= grown + 2.0;
    }
    let value = grown.mul_add(grown + 2.0, 1.0);
    let power = |field: i64| f64::from_bits(field.cast_unsigned() << 52);
    match exponent as i64 + 1023 {
        ..-52 => 0.0,
        // Subnormal: rounded once, by the second multiplication.
        field @ -52..=0 => value * power(field + 53) * power(1023 - 53),
        0x7ff.. => f64::INFINITY,
        field => value * power(field),
    }
}
