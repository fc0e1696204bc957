//! What was measured, as a table and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::answer;
use crate::product::Product;
use crate::query::Query;

/// What a query costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// CPU time of the server per query, in milliseconds.
    pub(crate) cpu_ms: f64,
    /// Median of the time that passes, in milliseconds.
    pub(crate) wall_ms: f64,
}

/// The figures of one product.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) product: Product,
    pub(crate) costs: Vec<Cost>,
    pub(crate) answers: Vec<Vec<u8>>,
    /// The most anonymous memory, in bytes.
    pub(crate) anonymous_peak: u64,
}

impl Figures {
    pub(crate) fn new(product: Product) -> Self {
        Self { product, costs: Vec::new(), answers: Vec::new(), anonymous_peak: 0 }
    }
}

/// Prints a line per query: CPU and wall of each product, and narthex' share of the better peer's.
pub(crate) fn print(queries: &[Query], all: &[Figures]) {
    let mut head = format!("{:<24}", "CPU ms / wall ms");
    for figures in all {
        let _ = write!(head, "{:>20}", figures.product.name());
    }
    println!("{head}   of best");
    let own = find(all, Product::Narthex);
    let (mut shares, mut above) = (Vec::new(), 0);
    for (index, query) in queries.iter().enumerate() {
        let mut line = format!("{:<24}", query.name);
        for figures in all {
            let cost = figures.costs.get(index).copied();
            let cost = cost.unwrap_or(Cost { cpu_ms: f64::NAN, wall_ms: f64::NAN });
            let _ = write!(line, "{:>10.3} /{:>8.3}", cost.cpu_ms, cost.wall_ms);
        }
        let cpu = |figures: &Figures| figures.costs.get(index).map(|cost| cost.cpu_ms);
        let peers = all.iter().filter(|f| f.product != Product::Narthex).filter_map(cpu);
        let best = peers.fold(f64::INFINITY, f64::min);
        if let Some(mine) = own.and_then(cpu) {
            let _ = write!(line, "{:>10.2}", mine / best);
            above += usize::from(mine > best);
            let theirs = find(all, Product::Prometheus).and_then(cpu);
            shares.extend(theirs.map(|theirs| mine.max(1e-3) / theirs));
        }
        if let Some(text) = difference(all, index) {
            let _ = write!(line, "  DIFFERENT: {text}");
        }
        println!("{line}");
    }
    #[expect(clippy::cast_precision_loss, reason = "a few dozen queries")]
    let mean = (shares.iter().map(|share| share.ln()).sum::<f64>() / shares.len() as f64).exp();
    println!("above the better peer: {above}; geometric mean of Prometheus' CPU: {mean:.3}");
    for figures in all {
        let megabytes = figures.anonymous_peak / (1 << 20);
        println!("{}: at most {megabytes} MiB of anonymous memory", figures.product.name());
    }
}

fn find(all: &[Figures], product: Product) -> Option<&Figures> {
    all.iter().find(|figures| figures.product == product)
}

fn difference(all: &[Figures], query: usize) -> Option<String> {
    let answer = |product| find(all, product)?.answers.get(query);
    answer::difference(answer(Product::Narthex)?, answer(Product::Prometheus)?)
}

/// The same for a program to read.
pub(crate) fn json(queries: &[Query], all: &[Figures]) -> Value {
    let products: Vec<Value> = all
        .iter()
        .map(|figures| {
            let costs = queries.iter().zip(&figures.costs).map(|(query, cost)| {
                json!({"query": query.name, "cpu_ms": cost.cpu_ms, "wall_ms": cost.wall_ms})
            });
            json!({
                "name": figures.product.name(),
                "anonymous_peak_bytes": figures.anonymous_peak,
                "queries": costs.collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({ "products": products })
}
