use super::*;

fn read(args: &[&str]) -> Result<Flags, Outcome> {
    let args = ["narthex"].iter().chain(args);
    parse(args.map(|&arg| arg.to_owned()))
}

fn refusal(args: &[&str]) -> String {
    match read(args) {
        Err(Outcome::Refused(text)) => text,
        other => panic!("{args:?} gave {other:?}"),
    }
}

#[test]
fn defaults_are_those_of_a_small_node() {
    let flags = read(&[]).unwrap();
    assert_eq!(flags.config_file, None);
    assert_eq!(flags.listen, ["0.0.0.0:9090"]);
    assert_eq!(flags.retention_time, Duration::from_secs(30 * 86_400));
    assert_eq!(flags.retention_bytes, 15 << 30);
    let kept = |text| {
        let config = Config::parse(text, "x").unwrap();
        retention_text(flags.retention(&config))
    };
    assert_eq!(kept(""), "30d or 15GiB");
    assert_eq!(kept("storage: {tsdb: {retention: {time: 7d}}}"), "1w or 15GiB");
    assert_eq!(flags.query_samples_max, 50_000_000);
    assert_eq!(flags.query_memory_bytes, 64 << 20);
    assert_eq!(flags.all["storage.remote.read-sample-limit"], "50000000");
    assert_eq!(flags.all["web.route-prefix"], "/");
    assert!(flags.ignored.is_empty());
}

#[test]
fn reads_every_form() {
    let flags = read(&[
        "--web.listen-address=127.0.0.1:1",
        "--web.listen-address",
        "127.0.0.1:2",
        "--web.enable-lifecycle",
        "--no-storage.tsdb.wal-compression",
        "--web.external-url=http://host:9090/mon/",
        "--storage.tsdb.retention.size",
        "512MB",
        "--enable-feature=a,b",
        "--enable-feature=c",
    ])
    .unwrap();
    assert_eq!(flags.listen, ["127.0.0.1:1", "127.0.0.1:2"]);
    assert!(flags.enable_lifecycle);
    assert_eq!(flags.all["storage.tsdb.wal-compression"], "false");
    assert_eq!(flags.external_url, "http://host:9090/mon");
    assert_eq!(flags.route_prefix, "/mon");
    assert_eq!(flags.retention_bytes, 512 << 20);
    assert_eq!(flags.all["storage.tsdb.retention.size"], "512MiB");
    assert_eq!(flags.features, ["a", "b", "c"]);
    assert_eq!(flags.ignored, ["storage.tsdb.wal-compression"]);
    assert!(
        !read(&["--web.enable-lifecycle", "--no-web.enable-lifecycle"]).unwrap().enable_lifecycle
    );
    let prefixed = ["--web.external-url=http://h/a", "--web.route-prefix=/"];
    assert_eq!(read(&prefixed).unwrap().route_prefix, "");
}

#[test]
fn refuses_in_the_words_of_prometheus() {
    for (args, want) in [
        (&["--foo=1"][..], "unknown long flag '--foo'"),
        (&["--foo"], "unknown long flag '--foo'"),
        (&["-x"], "unknown short flag '-x'"),
        (&["bar"], "unexpected bar"),
        (&["--query.timeout"], "expected argument for flag '--query.timeout'"),
        (&["--query.timeout=x"], "not a valid duration string: \"x\""),
        (&["--query.max-samples=x"], "strconv.ParseFloat: parsing \"x\": invalid syntax"),
        (&["--log.level=x"], "unrecognized log level x"),
        (&["--storage.tsdb.retention.size=5x"], "units: unknown unit x in 5x"),
        (&["--web.enable-lifecycle=true"], "unexpected true"),
        (&["--query.timeout=1m", "--query.timeout=2m"], "flag 'query.timeout' cannot be repeated"),
        (&["--storage.tsdb.retention=15d"], "unknown long flag '--storage.tsdb.retention'"),
        (&["--agent"], "flag '--agent' is not supported yet"),
    ] {
        assert_eq!(refusal(args), want, "{args:?}");
    }
    assert!(!refusal(&["--web.external-url=http://u:hunter2@ :x"]).contains("hunter2"));
}

#[test]
fn help_names_every_flag() {
    let Err(Outcome::Print(text)) = read(&["--help"]) else { panic!("no help") };
    for flag in FLAGS {
        assert!(text.contains(&format!("--{}", flag.name)), "{}", flag.name);
    }
    assert!(matches!(read(&["--version"]), Err(Outcome::Print(text)) if text.contains("version")));
}

#[test]
fn table_has_each_name_once_and_defaults_that_pass() {
    let mut names: Vec<_> = FLAGS.iter().map(|flag| flag.name).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
    for flag in FLAGS {
        assert!(flag.kind.normal(flag.default).is_ok(), "{}", flag.name);
    }
}
