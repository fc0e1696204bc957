//! Bytes per sample on disk: narthex beside Prometheus' blocks and VictoriaMetrics, on recorded
//! scrapes whose rows are read as 15 s apart.
//!
//! `bytes [--recordings FOLDER] [--every N]`: every `*.rec.zst` of the folder is one target.
//! Bodies go through the scrape cycle into a store on disk, which seals and merges as it does in
//! service; what lies in `blocks` in the end is measured. The peers, which `NARTHEX_PEERS` names,
//! get the very samples that the store gives back. `--every 15` takes each fifteenth row.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a program for developers that talks to its terminal")]

mod ours;
mod peers;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::{Arg, Command, value_parser};
use narthex_store::BlockSizes;

use crate::ours::Stored;

fn main() -> Result<()> {
    let (folder, every) = arguments()?;
    let recordings = recordings(&folder)?;
    for path in &recordings {
        let stored = Stored::new(std::slice::from_ref(path), every)?;
        print_ours(&name(path), &stored);
    }
    let all = Stored::new(&recordings, every)?;
    print_ours("all together", &all);
    let samples = all.samples()?;
    println!("\nall together: {} samples of {} series, B/sample:", samples.count(), samples.len());
    let of = |bytes: u64| per_sample(bytes, samples.count());
    let ours = all.sizes.total();
    println!(
        "{:16} {:.3} = {:.3} data + {:.3} index",
        "narthex",
        of(ours),
        of(ours - all.sizes.index()),
        of(all.sizes.index())
    );
    if let Some((chunks, index)) = peers::prometheus(&samples)? {
        println!(
            "{:16} {:.3} = {:.3} chunks + {:.3} index",
            "Prometheus",
            of(chunks + index),
            of(chunks),
            of(index)
        );
    }
    if let Some((data, index)) = peers::victoria_metrics(&samples)? {
        println!(
            "{:16} {:.3} = {:.3} data + {:.3} index",
            "VictoriaMetrics",
            of(data + index),
            of(data),
            of(index)
        );
        println!("narthex / VictoriaMetrics: {:.3}", of(ours) / of(data + index));
    }
    Ok(())
}

fn arguments() -> Result<(PathBuf, usize)> {
    let command = Command::new("bytes")
        .arg(Arg::new("recordings").long("recordings").value_name("FOLDER"))
        .arg(
            Arg::new("every")
                .long("every")
                .default_value("1")
                .value_parser(value_parser!(u16).range(1..)),
        );
    let matches = command.try_get_matches()?;
    let folder = matches.get_one::<String>("recordings");
    let folder = folder.map_or_else(narthex_benches::recordings, PathBuf::from);
    let every = matches.get_one::<u16>("every").copied().unwrap_or(1);
    Ok((folder, usize::from(every)))
}

/// The recordings of a folder, by name.
fn recordings(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder);
    let entries = entries.with_context(|| format!("reading {}", folder.display()))?;
    let mut paths = entries.map(|e| Ok(e?.path())).collect::<Result<Vec<_>>>()?;
    paths.retain(|path| path.to_string_lossy().ends_with(".rec.zst"));
    paths.sort();
    ensure!(!paths.is_empty(), "no recordings in {}", folder.display());
    Ok(paths)
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.trim_end_matches(".rec.zst").to_owned()
}

fn print_ours(name: &str, stored: &Stored) {
    let BlockSizes { values, times, places, directory, copies, checksums, .. } = stored.sizes;
    let BlockSizes { symbols, series, layouts, postings, footers, padding, .. } = stored.sizes;
    let of = |bytes: u64| per_sample(bytes, stored.samples);
    let (total, index) = (stored.sizes.total(), stored.sizes.index());
    println!(
        "{name}: {} samples of {} series in {} blocks: {:.4} B/sample, {:.4} without index",
        stored.samples,
        stored.series,
        stored.blocks,
        of(total),
        of(total - index),
    );
    let parts = [
        ("values", values),
        ("times", times),
        ("places", places),
        ("directory", directory),
        ("head copies", copies),
        ("checksums", checksums),
        ("footers", footers),
        ("padding", padding),
        ("symbols", symbols),
        ("series", series),
        ("layouts", layouts),
        ("postings", postings),
    ];
    for (part, bytes) in parts {
        println!("  {part:12} {bytes:9} B  {:.4}", of(bytes));
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn per_sample(bytes: u64, samples: u64) -> f64 {
    bytes as f64 / samples.max(1) as f64
}
