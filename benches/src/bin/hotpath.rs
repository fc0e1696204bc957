//! Absorbs recorded bodies into a store, for counting instructions:
//! `hotpath node.rec.zst 48` replays 48 scrapes and prints how many samples that were. The
//! difference between two counts leaves the start-up out.
#![expect(clippy::print_stdout, reason = "a program that tells a script a number")]

use std::path::Path;

use anyhow::{Context, Result, ensure};
use narthex_benches::{Target, bodies};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let path = args.next().context("usage: hotpath RECORDING SCRAPES")?;
    let scrapes: usize = args.next().context("how many scrapes?")?.parse()?;
    let bodies = bodies(Path::new(&path))?;
    ensure!(scrapes <= bodies.len(), "the recording has {} bodies", bodies.len());
    let mut target = Target::new()?;
    let mut samples = 0;
    for body in bodies.iter().take(scrapes) {
        samples += target.absorb(body)?;
    }
    println!("{samples}");
    Ok(())
}
