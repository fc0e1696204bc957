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

const JOB: &str = "scrape_configs:\n- job_name: a\n";

#[test]
fn shows_itself_as_prometheus_does() {
    let text = include_str!("../../../../testdata/config/full.yml");
    // What a real Prometheus 3.5 answers at /api/v1/status/config, but for the masked header and
    // the out-of-order window, which it spells in Go.
    let shown = include_str!("../../../../testdata/config/full.shown.yml");
    let config = parse(text);
    assert_eq!(config.to_yaml(), shown);
    // What is shown can be read again, and means the same.
    assert_eq!(parse(shown).to_yaml(), shown);
    assert_eq!(parse(text), config);
}

#[test]
fn points_at_what_is_wrong() {
    for (text, want) in [
        ("foo: 1", "p.yml:1:1: field foo not found in type config.plain"),
        ("global:\n  foo: 1", "p.yml:2:3: global: field foo not found in type config.plain"),
        (
            "scrape_configs:\n- job_name: a\n- job_name: a",
            "p.yml:3:13: scrape_configs[1].job_name: found multiple scrape configs with job name \"a\"",
        ),
        ("scrape_configs:\n- scheme: http", "p.yml:2:3: scrape_configs[0]: job_name is empty"),
        (
            "global: {scrape_interval: 5s, scrape_timeout: 10s}",
            "p.yml:1:47: global.scrape_timeout: global scrape timeout greater than scrape interval",
        ),
        ("a: [", "p.yml:1:4: unclosed bracket '['"),
        ("a: 1\na: 2", "p.yml:2:1: duplicate mapping key: a"),
        ("hello", "p.yml:1:1: expected a mapping, found a single value"),
        (
            "remote_write:\n- url: http://x\n  headers: {Authorization: x}",
            "p.yml:3:12: remote_write[0].headers: authorization header must be changed via the \
             basic_auth, authorization, oauth2, sigv4, azuread or google_iam parameter",
        ),
        ("rule_files: ['*/a.yml']", "p.yml:1:13: rule_files: invalid rule file path \"*/a.yml\""),
    ] {
        assert_eq!(refusal(text), want, "{text}");
    }
}

#[test]
fn points_at_what_is_wrong_in_a_job() {
    for (text, want) in [
        ("foo: 1", "3:3: scrape_configs[0]: field foo not found in type config.ScrapeConfig"),
        (
            "scrape_interval: 5s\n  scrape_timeout: 10s",
            "4:19: scrape_configs[0].scrape_timeout: scrape timeout greater than scrape \
             interval for scrape config with job name \"a\"",
        ),
        (
            "scrape_interval: 5x",
            "3:20: scrape_configs[0].scrape_interval: unknown unit \"x\" in duration \"5x\"",
        ),
        (
            "body_size_limit: 10mb",
            "3:20: scrape_configs[0].body_size_limit: expected a size such as 512KB, 16MB or \
             1GB, found \"10mb\"",
        ),
        (
            "sample_limit: '5'",
            "3:17: scrape_configs[0].sample_limit: expected a whole number that is not \
             negative, found \"5\"",
        ),
        (
            "static_configs:\n  - targets: ['http://h:1/x']",
            "4:5: scrape_configs[0].static_configs: \"http://h:1/x\" is not a valid hostname",
        ),
        (
            "relabel_configs:\n  - action: replace\n    regex: (",
            "5:12: scrape_configs[0].relabel_configs[0].regex: error parsing regexp: missing \
             closing ): `^(?s:()$`",
        ),
        (
            "consul_sd_configs:\n  - server: x",
            "4:5: scrape_configs[0].consul_sd_configs: consul_sd_configs is not supported yet, \
             in job \"a\"",
        ),
        (
            "metric_name_validation_scheme: legacy\n  relabel_configs:\n  - target_label: a.b",
            "5:5: scrape_configs[0].relabel_configs[0]: \"a.b\" is invalid 'target_label' for \
             replace action",
        ),
    ] {
        assert_eq!(refusal(&format!("{JOB}  {text}")), format!("p.yml:{want}"), "{text}");
    }
}

#[test]
fn lists_all_that_is_wrong() {
    let text = "global: {scrape_interval: x, foo: 1}\nscrape_configs:\n- job_name: a\n  bar: 2\n";
    assert_eq!(refusal(text).lines().count(), 3);
    let text = (0..100).map(|n| format!("k{n}: 1")).collect::<Vec<_>>().join("\n");
    assert_eq!(refusal(&text).lines().count(), crate::error::ISSUES_MAX);
}

#[test]
fn reads_numbers_and_booleans_as_go_does() {
    let limit =
        |text: &str| parse(&format!("{JOB}  sample_limit: {text}")).scrape_configs[0].sample_limit;
    for (text, want) in [("1e3", 1000), ("0x10", 16), ("010", 8), ("1_000", 1000), ("0", 0)] {
        assert_eq!(limit(text), want, "{text}");
    }
    for text in ["yes", "y", "On", "true"] {
        assert!(parse(&format!("{JOB}  honor_labels: {text}")).scrape_configs[0].honor_labels);
    }
    let size = |text: &str| {
        parse(&format!("{JOB}  body_size_limit: {text}")).scrape_configs[0].body_size_limit
    };
    assert_eq!((size("10MB"), size("1.5GiB"), size("0")), (10 << 20, 3 << 29, 0));
}

#[test]
fn secrets_stay_secret() {
    let text = "remote_write:\n- url: http://u:CANARY@h/w?token=CANARY\n  headers: {X-T: CANARY}\n  authorization: {credentials: CANARY}\n  tls_config: {cert: c, key: CANARY}\n\
        scrape_configs:\n- job_name: a\n  basic_auth: {username: u, password: CANARY}\n  http_headers: {X-A: {secrets: [CANARY]}}\n  proxy_url: http://u:CANARY@p\n  proxy_connect_header: {X-B: [CANARY]}\n\
        - job_name: b\n  oauth2: {client_id: x, client_secret: CANARY, token_url: http://t}\n- job_name: c\n  bearer_token: CANARY\n";
    let config = parse(text);
    for shown in [config.to_yaml(), format!("{config:?}"), config.notices().join("\n")] {
        assert!(!shown.contains("CANARY"), "{shown}");
    }
    let receiver = &config.remote_write[0];
    assert_eq!(receiver.headers["X-T"].expose(), "CANARY");
    assert_eq!(receiver.queue_name().len(), 6);
    for bad in [
        "basic_auth: CANARY",
        "bearer_token: [CANARY]",
        "proxy_url: http://u:CANARY@",
        "http_headers: {X-A: {secrets: CANARY}}",
        "basic_auth: {password: CANARY, password: CANARY}",
        "bearer_token: \"CANARY",
    ] {
        let error = refusal(&format!("{JOB}  {bad}"));
        assert!(!error.contains("CANARY"), "{error}");
    }
}

#[test]
fn includes_further_files() {
    let mut config = parse(&format!("global: {{scrape_interval: 7s}}\n{JOB}"));
    config.include("scrape_configs:\n- job_name: b\n", "more.yml").unwrap();
    assert_eq!(config.scrape_configs[1].scrape_interval, Duration::from_secs(7));
    let error = config.include("scrape_configs:\n- job_name: c\n- job_name: a\n", "more.yml");
    assert_eq!(
        error.unwrap_err().to_string(),
        "more.yml:3:13: scrape_configs[1].job_name: found multiple scrape configs with job name \"a\""
    );
    assert_eq!(config.scrape_configs.len(), 2);
    assert!(config.include("global: {}", "more.yml").is_err());
}

#[test]
fn names_what_has_no_effect() {
    let notices = parse(include_str!("../../../../testdata/config/full.yml")).notices();
    for word in ["rule_files", "alerting", "remote_read", "tracing"] {
        assert!(notices.iter().any(|notice| notice.contains(word)), "{word}: {notices:?}");
    }
    assert!(parse(JOB).notices().is_empty());
}

#[test]
fn holds_its_limits() {
    let mut bomb = vec!["a0: &a0 [x, x, x, x, x, x, x, x, x]".to_owned()];
    for level in 1..12 {
        let items = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb.push(format!("a{level}: &a{level} [{items}]"));
    }
    let bomb = bomb.join("\n");
    assert_eq!(refusal(&bomb).lines().count(), 1);
    assert_eq!(refusal(&"[".repeat(100_000)).lines().count(), 1);
    assert_eq!(refusal(&"- ".repeat(100_000)).lines().count(), 1);
    assert_eq!(refusal(&"{a: ".repeat(100_000)).lines().count(), 1);
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_without_panic(
        lines in proptest::collection::vec(
            "(  |- |    )?(global|scrape_configs|job_name|remote_write|url|relabel_configs|regex|a|<<)?(: )?[a-z0-9:&*!|>\\[\\]{}'\", .-]{0,12}",
            0..8,
        ),
    ) {
        let text = lines.join("\n");
        if let Ok(config) = Config::parse_with_env(&text, "p.yml", &|_| None) {
            config.to_yaml();
        }
    }

    #[test]
    fn what_is_written_reads_as_itself(value in "\\PC{0,20}|[a-z0-9:#&*!|>\\[\\]{}'\", .~\n\t=-]{0,12}") {
        let text = serde_json::to_string(&value).unwrap();
        let config = parse(&format!("rule_files: [{text}]\n").replace('*', "x"));
        let again = parse(&config.to_yaml());
        proptest::prop_assert_eq!(config.rule_files, again.rule_files);
    }
}
