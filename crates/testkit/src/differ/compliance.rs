//! The public compliance queries, their templates expanded.

/// The file of the suite.
const FILE: &str = include_str!("../../../../testdata/promql/compliance-queries.yml");

/// What stands for each variable.
const VARIANTS: [(&str, &[&str]); 16] = [
    ("range", &["1s", "15s", "1m", "5m", "15m", "1h"]),
    ("offset", &["1m", "5m", "10m"]),
    ("simpleAggrOp", &["sum", "avg", "max", "min", "count", "stddev", "stdvar"]),
    (
        "simpleTimeAggrOp",
        &["sum", "avg", "max", "min", "count", "stddev", "stdvar", "absent", "last"],
    ),
    ("topBottomOp", &["topk", "bottomk"]),
    ("quantile", &["-0.5", "0.1", "0.5", "0.75", "0.95", "0.90", "0.99", "1", "1.5"]),
    ("arithBinOp", &["+", "-", "*", "/", "%", "^"]),
    ("compBinOp", &["==", "!=", "<", ">", "<=", ">="]),
    ("binOp", &["+", "-", "*", "/", "%", "^", "==", "!=", "<", ">", "<=", ">="]),
    ("simpleMathFunc", &["abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "round"]),
    ("extrapolatedRateFunc", &["delta", "rate", "increase"]),
    ("clampFunc", &["clamp_min", "clamp_max"]),
    ("instantRateFunc", &["idelta", "irate"]),
    (
        "dateFunc",
        &["day_of_month", "day_of_week", "days_in_month", "hour", "minute", "month", "year"],
    ),
    ("smoothingFactor", &["0.1", "0.5", "0.8"]),
    ("trendFactor", &["0.1", "0.5", "0.8"]),
];

/// All queries of the suite.
pub fn queries() -> Vec<String> {
    let templates = FILE.lines().filter_map(|line| {
        let line = line.trim().trim_start_matches("- ");
        let query = line.strip_prefix("query:")?.trim();
        let quote = query.chars().next().filter(|c| matches!(c, '\'' | '"'));
        Some(quote.map_or(query, |quote| query.trim_matches(quote)))
    });
    let mut expanded = Vec::new();
    for template in templates {
        expand(template.to_owned(), &mut expanded);
    }
    expanded
}

fn expand(template: String, into: &mut Vec<String>) {
    let variable = template.find("{{.").and_then(|from| {
        let name = template[from + 3..].split("}}").next()?;
        Some(name.to_owned())
    });
    let Some(name) = variable else { return into.push(template) };
    let known = VARIANTS.iter().find(|(known, _)| *known == name);
    for value in known.map_or(&[][..], |(_, values)| values) {
        expand(template.replacen(&format!("{{{{.{name}}}}}"), value, 1), into);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_template_has_its_variants() {
        let all = super::queries();
        assert!(all.len() > 500, "{}", all.len());
        assert!(all.iter().all(|query| !query.contains("{{")));
        assert!(all.contains(&"increase(demo_cpu_usage_seconds_total[1h])".to_owned()));
    }
}
