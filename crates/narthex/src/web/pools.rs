//! What the settings of a scrape pool do: `scrape_pools/config` and `targets/relabel_steps`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use narthex_config::ScrapeConfig;
use narthex_model::number::GoQuoted;
use narthex_model::relabel::Rule;
use narthex_model::{Labels, LabelsBuilder};

use super::error::ApiError;
use super::json::{self, Object};
use super::params::Params;
use super::reply::Reply;
use super::{Answer, Routes};
use crate::app::App;

pub(super) fn routes() -> Routes {
    Routes::new()
        .route("/scrape_pools/config", get(config))
        .route("/targets/relabel_steps", get(relabel_steps))
}

/// The settings of the pool that a request names.
fn pool(app: &App, params: &Params) -> Result<Arc<ScrapeConfig>, ApiError> {
    let name = params.get("scrapePool");
    let found = app.parts().and_then(|parts| parts.scrape.config(name));
    found.ok_or_else(|| {
        let name = GoQuoted(name);
        ApiError::bad(format!("error retrieving scrape config: scrape pool {name} not found"))
    })
}

fn required<'p>(params: &'p Params, name: &str) -> Result<&'p str, ApiError> {
    let value = params.get(name);
    match value {
        "" => Err(ApiError::bad(format!("no {name} parameter provided"))),
        value => Ok(value),
    }
}

async fn config(State(app): State<Arc<App>>, params: Params) -> Answer {
    required(&params, "scrapePool")?;
    let yaml = pool(&app, &params)?.to_yaml();
    Ok(Reply::new(|out| {
        let mut object = Object::begin(out);
        object.text("yaml", &yaml);
        object.end();
    }))
}

async fn relabel_steps(State(app): State<Arc<App>>, params: Params) -> Answer {
    required(&params, "scrapePool")?;
    let labels = required(&params, "labels")?;
    let labels: BTreeMap<String, String> = serde_json::from_str(labels)
        .map_err(|e| ApiError::bad(format!("error parsing labels: {e}")))?;
    let labels = Labels::from_pairs(labels.iter().map(|(name, value)| (&**name, &**value)));
    let config = pool(&app, &params)?;
    Ok(Reply::new(|out| put_steps(out, &config.relabel_configs, &labels)))
}

fn put_steps(out: &mut Vec<u8>, rules: &[Rule], labels: &Labels) {
    let mut builder = LabelsBuilder::from_labels(labels);
    let mut keep = true;
    let mut object = Object::begin(out);
    json::list(object.field("steps"), rules, |out, rule| {
        keep = keep && rule.apply(&mut builder);
        let output = if keep { builder.clone().build() } else { Labels::empty() };
        let mut step = Object::begin(out);
        put_rule(step.field("rule"), rule);
        json::labels(step.field("output"), &output);
        step.plain("keep", keep);
        step.end();
    });
    object.end();
}

fn put_rule(out: &mut Vec<u8>, rule: &Rule) {
    let mut object = Object::begin(out);
    if !rule.source_labels.is_empty() {
        json::strings(object.field("source_labels"), &rule.source_labels);
    }
    object.text("separator", &rule.separator);
    object.text("regex", rule.regex.as_str());
    if rule.modulus != 0 {
        object.plain("modulus", rule.modulus);
    }
    if !rule.target_label.is_empty() {
        object.text("target_label", &rule.target_label);
    }
    object.text("replacement", &rule.replacement).text("action", rule.action.as_str());
    object.end();
}

#[cfg(test)]
mod tests {
    use narthex_model::regex::Pattern;
    use narthex_model::relabel::{Action, REGEX_DEFAULT};

    use super::*;

    #[test]
    fn each_step_shows_what_is_left() {
        let set = Rule {
            source_labels: vec!["a".to_owned()],
            target_label: "b".to_owned(),
            ..Rule::new(Action::Replace).unwrap()
        };
        let drop = Rule {
            source_labels: vec!["b".to_owned()],
            regex: Pattern::new("x").unwrap(),
            ..Rule::new(Action::Drop).unwrap()
        };
        let mut out = Vec::new();
        put_steps(&mut out, &[set, drop.clone(), drop], &Labels::from_pairs([("a", "x")]));
        let regex = format!(r#""regex":"{REGEX_DEFAULT}""#);
        let dropped = concat!(
            r#"{"rule":{"source_labels":["b"],"separator":";","regex":"x","replacement":"$1","#,
            r#""action":"drop"},"output":{},"keep":false}"#
        );
        let want = format!(
            r#"{{"steps":[{{"rule":{{"source_labels":["a"],"separator":";",{regex},"target_label":"b","replacement":"$1","action":"replace"}},"output":{{"a":"x","b":"x"}},"keep":true}},{dropped},{dropped}]}}"#
        );
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }
}
