//! What is compared, and how.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::{Arg, ArgMatches, Command, value_parser};
use narthex_model::time::parse_duration;
use narthex_testkit::peers;

use crate::product::{ALL, Product};

/// The command line.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) targets: usize,
    pub(crate) series: usize,
    pub(crate) interval: Duration,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
    pub(crate) chunk_bytes: usize,
    pub(crate) names: Vec<String>,
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
        let number = |name: &str| matches.get_one::<usize>(name).copied().unwrap_or_default();
        let duration =
            |name: &str| parse_duration(&text(name)).map_err(|e| anyhow!("--{name}: {e}"));
        Ok(Self {
            targets: number("targets"),
            series: number("series"),
            interval: duration("interval")?,
            warm_up: duration("warm-up")?,
            duration: duration("duration")?,
            chunk_bytes: number("chunk-bytes"),
            names: text("products").split(',').map(str::to_owned).collect(),
            narthex: PathBuf::from(text("narthex")),
            recordings: PathBuf::from(text("recordings")),
            folder: PathBuf::from(text("folder")),
        })
    }

    /// The products that were asked for and are on the machine.
    pub(crate) fn products(&self) -> Result<Vec<Product>> {
        let mut found = Vec::new();
        for name in &self.names {
            let product = ALL.into_iter().find(|product| product.name == name);
            let mut product = product.ok_or_else(|| anyhow!("unknown product {name}"))?;
            let program = match product.program {
                "narthex" => self.narthex.is_file().then(|| self.narthex.clone()),
                _ => peers::find(product.program),
            };
            match program {
                Some(program) => product.path_on_disk = program,
                None if product.program == "narthex" => {
                    return Err(anyhow!(
                        "{} is not there: cargo build --release first",
                        self.narthex.display()
                    ));
                }
                None => continue,
            }
            found.push(product);
        }
        Ok(found)
    }
}

fn command() -> Command {
    let option = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name).long(name).default_value(default).help(help)
    };
    let number =
        |name, default, help| option(name, default, help).value_parser(value_parser!(usize));
    Command::new("compare")
        .about("Runs narthex beside other software on the same simulated exporters")
        .arg(number("targets", "20", "how many exporters"))
        .arg(number("series", "850", "series of each"))
        .arg(option("interval", "1s", "scrape interval"))
        .arg(option("warm-up", "20s", "time before measuring begins"))
        .arg(option("duration", "60s", "time that is measured"))
        .arg(number("chunk-bytes", "2048", "how exporters cut their answers; 0: whole"))
        .arg(option("products", "narthex,prometheus,victoriametrics,vmagent", "comma-separated"))
        .arg(option("narthex", "target/release/narthex", "the program to measure"))
        .arg(option("recordings", "../shared/recordings", "folder of node.rec.zst, vm.rec.zst"))
        .arg(option("folder", "benches/out", "where data, logs and figures.json go"))
}
