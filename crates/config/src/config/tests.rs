use super::*;
use std::time::Duration;

fn parse(text: &str) -> Config {
    Config::parse_with_env(text, "p.yml", &|name| (name == "HOST").then(|| "n1".into()))
        .unwrap_or_else(|error| panic!("{error}"))
}

fn refusal(text: &str) -> String {
    match Config::parse_with_env(text, "p.yml", &|_| None) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn fills_in_what_is_not_said() {
    let config = parse("");
    assert_eq!(config.global.scrape_timeout, Duration::from_secs(10));
    let config = parse(
        "global: {scrape_interval: 5s, external_labels: {node: '${HOST}-$$', v: 1.10}}\n\
         scrape_configs:\n- job_name: a\n  static_configs:\n  - targets: [a:1, 'b:2']\n",
    );
    assert_eq!(config.global.scrape_timeout, Duration::from_secs(5));
    assert_eq!(config.global.external_labels.to_string(), r#"{node="n1-$", v="1.10"}"#);
    let job = config.scrape_configs.first().unwrap();
    assert_eq!(job.scrape_interval, Duration::from_secs(5));
    assert_eq!(job.scrape_timeout, Duration::from_secs(5));
    assert_eq!(job.scrape_protocols, ScrapeProtocol::DEFAULT);
    assert!(job.honor_timestamps && job.http_client.follow_redirects && !job.legacy_names());
    assert_eq!(job.static_configs[0].targets, ["a:1", "b:2"]);
}
