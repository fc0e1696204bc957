//! Fits the bodies of a recording and prints what happened; for counting instructions.
//!
//! Usage: `fit_cost RECORDING STEP ROUNDS MODE`: every STEP-th frame of the (zstd-compressed)
//! recording is fitted, all of them ROUNDS times over. MODE is `same` (the bodies as they are),
//! `new` (a fresh stencil for each body), `shuffle` (samples in another order each time) or `copy`
//! (the bodies are only copied: what the driver costs).
#![expect(clippy::print_stdout, reason = "the report of a tool")]

use std::error::Error;

use narthex_expo::{Fit, Format, Limits, Stencil};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("no recording named")?;
    let step: usize = args.next().map_or(Ok(15), |text| text.parse())?;
    let rounds: usize = args.next().map_or(Ok(1), |text| text.parse())?;
    let mode = args.next().unwrap_or_else(|| "same".to_owned());
    let recording = zstd::decode_all(std::fs::File::open(path)?)?;
    let mut bodies: Vec<Vec<u8>> =
        frames(&recording).step_by(step.max(1)).map(<[u8]>::to_vec).collect();
    if mode == "shuffle" {
        for (seed, body) in (1..).zip(&mut bodies) {
            *body = shuffled(body, seed);
        }
    }
    let fresh = || Stencil::new(Format::Text, Limits::default());
    let mut stencil = fresh();
    let (mut samples, mut changed, mut edits) = (0, 0, 0);
    let mut copy = Vec::new();
    for body in bodies.iter().cycle().take(bodies.len() * rounds) {
        let fit = match mode.as_str() {
            "copy" => {
                copy.clear();
                copy.extend_from_slice(std::hint::black_box(body));
                Fit::default()
            }
            "new" => {
                stencil = fresh();
                stencil.fit(body)?
            }
            _ => stencil.fit(body)?,
        };
        samples += u64::from(fit.samples);
        changed += stencil.changed().len();
        edits += usize::from(!stencil.appeared().is_empty() || !stencil.vanished().is_empty());
    }
    let fits = bodies.len() * rounds;
    println!("{fits} fits, {samples} samples, {changed} changed, {edits} fits with an edit");
    Ok(())
}

/// The bodies of a recording: frames of `#FRAME <ms> <length>` and a body.
fn frames(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let line = rest.iter().position(|&byte| byte == b'\n')?;
        let (head, body) = rest.split_at(line + 1);
        let len: usize = std::str::from_utf8(head).ok()?.trim().rsplit(' ').next()?.parse().ok()?;
        let (body, next) = body.split_at_checked(len)?;
        rest = next.strip_prefix(b"\n").unwrap_or(next);
        Some(body)
    })
}

/// The lines of a body in an order that `seed` chooses, comments left out.
fn shuffled(body: &[u8], mut seed: u64) -> Vec<u8> {
    let mut lines: Vec<_> =
        body.split_inclusive(|&b| b == b'\n').filter(|l| l[0] != b'#').collect();
    for index in (1..lines.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let other = usize::try_from(seed >> 33).unwrap_or(0) % (index + 1);
        lines.swap(index, other);
    }
    lines.concat()
}
