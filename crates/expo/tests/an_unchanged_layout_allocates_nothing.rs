//! Fitting bodies whose lines are those of the last one must not touch the allocator.

use std::fmt::Write;

use narthex_counting::{Counting, allocations};
use narthex_expo::{Format, Limits, Stencil};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A body of a fixed layout whose values depend on `round`.
fn body(format: Format, round: u64) -> Result<String, std::fmt::Error> {
    let mut body = String::new();
    for n in 0..500u64 {
        if n % 10 == 0 {
            writeln!(body, "# HELP m{n} Some help.\n# TYPE m{n} gauge")?;
        }
        let value = if n % 3 == 0 { round * n * 7919 % 100_003 } else { n };
        write!(body, "m{n}{{cpu=\"{n}\",mode=\"a}}\\\"b\"}} ")?;
        match (n % 7, round % 2) {
            (1, 1) => body.push_str("NaN"),
            (2, 1) => body.push_str("+Inf"),
            (3, _) => write!(body, "{value}.{round}e-05")?,
            _ => write!(body, "{value}")?,
        }
        match (format, n % 11) {
            (Format::Text, 1) => write!(body, " {}", 1_700_000_000_000 + round)?,
            (Format::OpenMetrics, 1) => write!(body, " {}.5", 1_700_000_000 + round)?,
            (Format::OpenMetrics, 2) => {
                write!(body, " # {{trace=\"{round}\"}} {round} 1.5")?;
            }
            _ => {}
        }
        body.push('\n');
    }
    // A duplicate does not spoil it.
    writeln!(body, "m3{{cpu=\"3\",mode=\"a}}\\\"b\"}} {round}")?;
    if format == Format::OpenMetrics {
        body.push_str("# EOF\n");
    }
    Ok(body)
}

#[test]
fn an_unchanged_layout_allocates_nothing() {
    for format in [Format::Text, Format::OpenMetrics] {
        let mut stencil = Stencil::new(format, Limits::default());
        for round in 0..40 {
            stencil.fit(body(format, round).unwrap().as_bytes()).unwrap();
        }
        for round in 40..80 {
            let body = body(format, round).unwrap();
            let before = allocations();
            let fit = stencil.fit(body.as_bytes()).unwrap();
            assert_eq!(allocations() - before, 0);
            assert_eq!((fit.samples, fit.duplicates), (501, 1));
            assert!(stencil.appeared().is_empty());
            assert!(stencil.changed().len() > 100);
        }
    }
}
