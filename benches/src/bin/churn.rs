//! A target whose series do not stay: `churn [SCRAPES [SERIES [SHARE [SECONDS]]]]` scrapes (2,000
//! times, SECONDS, 15, apart) a target with SERIES series (1,000) of which SHARE percent (10) are
//! new each time, and prints memory now and at most (with a share of 0: that of the same target
//! without churn), and the time for a sample beside that of a parser which looks every series up
//! by its text. Upkeep is done every ten seconds.
#![expect(clippy::print_stdout, reason = "a program that prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a measurement")]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::Result;
use narthex_benches::{Target, memory};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default| args.get(at).map_or(Ok(default), |text| text.parse());
    let (scrapes, series, share): (usize, usize, usize) =
        (number(0, 2000)?, number(1, 1000)?, number(2, 10)?);
    let seconds: usize = number(3, 15)?;
    narthex_store::give_back_freed_memory();
    let base = memory::anonymous()?;
    let mut target = Target::new("localhost:9100")?;
    target.set_interval(i64::try_from(seconds * 1000)?);
    let mut most = 0;
    let mut body = String::new();
    let (mut took, mut parsed) = (Duration::ZERO, Duration::ZERO);
    let mut known = HashMap::new();
    let (mut samples, mut sum) = (0, 0.0);
    for scrape in 0..scrapes {
        write_body(scrape, series, series * share / 100, &mut body)?;
        let began = Instant::now();
        samples += target.absorb(body.as_bytes())?;
        took += began.elapsed();
        target.store().sync()?;
        if scrape % (10 / seconds.clamp(1, 10)) == 0 {
            target.store().upkeep()?;
        }
        most = most.max(memory::anonymous()? - base);
        let began = Instant::now();
        sum += look_up(&body, &mut known);
        parsed += began.elapsed();
        if (scrape + 1) % (scrapes / 10).max(1) == 0 {
            let stats = target.store().stats();
            println!(
                "{} scrapes: {} KiB anonymous, {} at most, {} series in the head, {} layouts",
                scrape + 1,
                (memory::anonymous()? - base) / 1024,
                most / 1024,
                stats.head_series,
                stats.layouts,
            );
        }
    }
    let per = |time: Duration| time.as_nanos() / u128::from(samples.max(1));
    println!(
        "{samples} samples: {} ns each; looked up by text: {} ns ({} known, {sum})",
        per(took),
        per(parsed),
        known.len(),
    );
    Ok(())
}

/// The series are numbered; those of a scrape are the latest.
fn write_body(scrape: usize, series: usize, new: usize, body: &mut String) -> Result<()> {
    body.clear();
    body.push_str("# TYPE container_cpu_usage_seconds_total counter\n");
    let first = scrape * new;
    for number in first..first + series {
        let value = scrape * 7 + number % 13 * (scrape / 3);
        writeln!(
            body,
            "container_cpu_usage_seconds_total{{cpu=\"total\",id=\"/kubepods/burstable/pod{number:08}\",\
             image=\"registry.example/app:1.2\",name=\"k8s_app_{number:08}\"}} {value}"
        )?;
    }
    Ok(())
}

/// What a parser does that looks every series up by its text.
fn look_up(body: &str, known: &mut HashMap<String, usize>) -> f64 {
    let mut sum = 0.0;
    for line in body.lines().filter(|line| !line.starts_with('#')) {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        if !known.contains_key(series) {
            known.insert(series.to_owned(), known.len());
        }
        sum += value.parse().unwrap_or(0.0) + known.get(series).map_or(0.0, |_| 1.0);
    }
    if known.len() > body.len() / 50 {
        // As a parser does that keeps what the last bodies had.
        known.clear();
    }
    sum
}
