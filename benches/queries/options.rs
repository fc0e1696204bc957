//! What is measured, and how.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Arg, ArgMatches, Command, value_parser};

use crate::product::Product;

/// The command line.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) hours: u64,
    pub(crate) seconds: f64,
    pub(crate) products: Vec<Product>,
    pub(crate) only: String,
    pub(crate) narthex: PathBuf,
    pub(crate) recordings: PathBuf,
    pub(crate) folder: PathBuf,
}

impl Options {
    /// Reads the command line; `--help` explains it.
    pub(crate) fn from_args() -> Result<Self> {
        Self::from_matches(&command().get_matches())
    }

    fn from_matches(matches: &ArgMatches) -> Result<Self> {
        let text = |name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
        let mut products = Vec::new();
        for name in text("products").split(',') {
            match Product::named(name) {
                Some(product) => products.push(product),
                None => bail!("unknown product {name}"),
            }
        }
        Ok(Self {
            hours: matches.get_one("hours").copied().unwrap_or(48),
            seconds: matches.get_one("seconds").copied().unwrap_or(1.0),
            products,
            only: text("only"),
            narthex: PathBuf::from(text("narthex")),
            recordings: PathBuf::from(text("recordings")),
            folder: PathBuf::from(text("folder")),
        })
    }
}

fn command() -> Command {
    let option = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name).long(name).default_value(default).help(help)
    };
    Command::new("queries")
        .about("Asks narthex and other software the same queries over the same data")
        .arg(option("hours", "48", "hours of data").value_parser(value_parser!(u64)))
        .arg(
            option("seconds", "1", "how long each query is repeated")
                .value_parser(value_parser!(f64)),
        )
        .arg(option("products", "narthex,prometheus,victoriametrics", "comma-separated"))
        .arg(option("only", "", "only queries whose name contains this"))
        .arg(option("narthex", "target/release/narthex", "the program to measure"))
        .arg(option("recordings", "../shared/recordings", "folder of node.rec.zst, vm.rec.zst"))
        .arg(option("folder", "benches/out/queries", "where data is kept, logs, figures.json"))
}
