use super::*;

/// A function and what Prometheus 3.5 answers for some arguments.
type Case = (fn(f64) -> f64, &'static [(f64, f64)]);

#[expect(clippy::approx_constant, reason = "answers, not constants")]
const CASES: [Case; 16] = [
    (
        exp,
        &[
            (1.5, 4.481_689_070_338_065),
            (-708.5, 2.006_132_305_331_306e-308),
            (-745.0, 5e-324),
            (709.7, f64::INFINITY),
            (1e-9, 1.000_000_001),
        ],
    ),
    (
        ln,
        &[
            (0.3, -1.203_972_804_325_936_1),
            (7.0, 1.945_910_149_055_313_2),
            (5e-324, -709.089_565_712_824_1),
        ],
    ),
    (log2, &[(10.0, 3.321_928_094_887_362), (0.125, -3.0)]),
    (log10, &[(1000.0, 3.0), (0.428_512_881_772_201_26, -0.368_036_117_968_335_35)]),
    (
        sin,
        &[
            (1.0, 0.841_470_984_807_896_5),
            (1e9, 0.545_843_449_448_699_4),
            (1e22, -0.852_200_849_767_188_9),
            (-3.7, 0.529_836_140_908_493_4),
        ],
    ),
    (
        cos,
        &[
            (1.0, 0.540_302_305_868_139_8),
            (2.5, -0.801_143_615_546_933_7),
            (1e300, -0.575_386_111_957_549_1),
        ],
    ),
    (
        tan,
        &[
            (1.0, 1.557_407_724_654_902),
            (1.2345, 2.860_614_839_971_939),
            (1e18, -8.388_549_680_593_69),
        ],
    ),
    (asin, &[(0.3, 0.304_692_654_015_397_5), (-0.9, -1.119_769_514_998_634_2)]),
    (acos, &[(0.1, 1.470_628_905_633_336_8)]),
    (
        atan,
        &[
            (0.7, 0.610_725_964_389_208_6),
            (3.0, 1.249_045_772_398_254_4),
            (-1e9, -1.570_796_325_794_896_5),
        ],
    ),
    (
        sinh,
        &[
            (0.4, 0.410_752_325_802_815_57),
            (-0.754_300_209_694_194_6, -0.827_891_761_777_490_8),
            (22.0, 1_792_456_423.065_795_7),
        ],
    ),
    (cosh, &[(0.000_518_190_471_420_799_8, 1.000_000_134_260_685_2), (30.0, 5_343_237_290_762.23)]),
    (tanh, &[(0.3, 0.291_312_612_451_590_9), (0.9, 0.716_297_870_199_024_5), (50.0, 1.0)]),
    (
        asinh,
        &[
            (0.5, 0.481_211_825_059_603_47),
            (3.0, 1.818_446_459_232_066_8),
            (1e10, 23.718_998_110_500_4),
        ],
    ),
    (
        acosh,
        &[
            (1.5, 0.962_423_650_119_206_9),
            (3.0, 1.762_747_174_039_085_9),
            (1e10, 23.718_998_110_500_4),
        ],
    ),
    (atanh, &[(0.1, 0.100_335_347_731_075_58), (0.7, 0.867_300_527_694_053_1), (1e-10, 1e-10)]),
];

#[test]
fn values_are_those_of_prometheus_to_the_last_bit() {
    for (index, (function, values)) in CASES.into_iter().enumerate() {
        for &(x, want) in values {
            let found = function(x);
            assert_eq!(found.to_bits(), want.to_bits(), "{index}: of {x}: {found}, not {want}");
        }
    }
}

#[test]
fn angles_of_points_are_those_of_prometheus() {
    for (y, x, want) in [
        (1.0, 2.0, 0.463_647_609_000_806_1),
        (-3.0, -0.5, -1.735_945_004_209_523_5),
        (0.1, -7.0, 3.127_307_911_002_396_7),
        (0.0, -1.0, std::f64::consts::PI),
        (-0.0, 1.0, -0.0),
    ] {
        assert_eq!(atan2(y, x).to_bits(), f64::to_bits(want), "{y}, {x}");
    }
}

#[test]
fn what_is_no_number_or_endless_stays_so() {
    let functions = [sin, cos, tan, asin, acos, atan, sinh, cosh, tanh, asinh, acosh, atanh];
    for function in functions.into_iter().chain([exp, ln, log2, log10]) {
        assert!(function(f64::NAN).is_nan());
    }
    for function in [sin, cos, tan, asin, acos, atanh] {
        assert!(function(f64::INFINITY).is_nan());
    }
    for function in [sin, tan, asin, atan, sinh, tanh, asinh, atanh] {
        assert_eq!(function(-0.0).to_bits(), f64::to_bits(-0.0));
    }
    assert_eq!(ln(0.0).to_bits(), f64::NEG_INFINITY.to_bits());
    assert!(ln(-1.0).is_nan() && acosh(0.5).is_nan());
}
