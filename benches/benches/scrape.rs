//! From a body in a buffer to head and log, beside a parser that only parses.
//!
//! Needs the recordings; without them it says so and measures nothing.
#![expect(clippy::print_stderr, reason = "a skipped bench must be seen")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use narthex_benches::{Target, bodies, recordings};
use narthex_expo::{Format, Limits, Stencil};

fn scrape(criterion: &mut Criterion) {
    for name in ["node", "vm"] {
        let path = recordings().join(format!("{name}.rec.zst"));
        let Ok(bodies) = bodies(&path) else {
            eprintln!("SKIPPED: {} cannot be read", path.display());
            continue;
        };
        let (Some(first), Some(second)) = (bodies.first(), bodies.get(1)) else { continue };
        let samples = |body: &[u8]| {
            body.split(|&b| b == b'\n').filter(|l| l.first().is_some_and(|&b| b != b'#')).count()
        };
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(samples(second) as u64));
        let mut turn = bodies.iter().cycle();
        let mut target = Target::new("localhost:9100").expect("a store in a temporary folder");
        group.bench_function("body to head and log", |bench| {
            bench.iter(|| turn.next().map(|body| target.absorb(body)));
        });
        let mut stencil = Stencil::new(Format::Text, Limits::default());
        let mut turn = bodies.iter().cycle();
        group.bench_function("stencil alone", |bench| {
            bench.iter(|| turn.next().map(|body| stencil.fit(body)));
        });
        group.bench_function("first body of a target", |bench| {
            bench.iter_batched_ref(
                || Stencil::new(Format::Text, Limits::default()),
                |stencil| stencil.fit(first),
                BatchSize::SmallInput,
            );
        });
        group.bench_function("prometheus-parse", |bench| {
            let text = String::from_utf8_lossy(second).into_owned();
            bench.iter(|| {
                let lines = text.lines().map(|line| Ok(line.to_owned()));
                prometheus_parse::Scrape::parse(lines)
            });
        });
        group.finish();
    }
}

criterion_group!(benches, scrape);
criterion_main!(benches);
