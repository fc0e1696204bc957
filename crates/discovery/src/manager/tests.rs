use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use narthex_config::Config;
use narthex_model::Timestamp;

use super::*;

#[derive(Debug, Default)]
struct HandClock(AtomicU64);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

struct Bench {
    dir: tempfile::TempDir,
    clock: Arc<HandClock>,
    manager: Manager,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(HandClock::default());
        let manager = Manager::new(Arc::clone(&clock) as Arc<dyn Clock>, dir.path().to_owned());
        Self { dir, clock, manager }
    }

    fn apply(&self, yaml: &str) {
        let config = Config::parse(yaml, "t.yml").unwrap_or_else(|error| panic!("{error}"));
        self.manager.apply(&config.scrape_configs);
    }

    fn write(&self, name: &str, text: &str) {
        // By rename, as careful writers do.
        let tmp = self.dir.path().join("tmp");
        fs::write(&tmp, text).unwrap();
        fs::rename(tmp, self.dir.path().join(name)).unwrap();
    }

    fn targets(&self, job: &str) -> Vec<String> {
        let groups = self.manager.watch(job).unwrap().borrow().clone();
        let dir = self.dir.path().to_string_lossy().into_owned();
        let text = |labels: &narthex_model::Labels| labels.to_string().replace(&dir, "D");
        groups.iter().flat_map(|group| &group.targets).map(text).collect()
    }
}

const FILES: &str = "scrape_configs:\n- job_name: a\n  static_configs:\n  - targets: [s:1]\n    labels: {x: y}\n  file_sd_configs:\n  - files: ['t*.yml', u.json]\n";

#[test]
fn follows_target_files() {
    let bench = Bench::new();
    bench.write("t1.yml", "- targets: ['h:1', 'h:2']\n  labels: {env: prod, n: 1.0}\n");
    bench.apply(FILES);
    let watch = bench.manager.watch("a").unwrap();
    let first = [
        r#"{__address__="s:1", x="y"}"#,
        r#"{__address__="h:1", __meta_filepath="D/t1.yml", env="prod", n="1.0"}"#,
        r#"{__address__="h:2", __meta_filepath="D/t1.yml", env="prod", n="1.0"}"#,
    ];
    assert_eq!(bench.targets("a"), first);

    bench.manager.poll();
    assert!(!watch.has_changed().unwrap(), "nothing has changed");

    bench.write("u.json", r#"[{"targets": ["j:1"], "labels": {"a": "\ud83d\ude00"}}]"#);
    bench.manager.poll();
    assert!(watch.has_changed().unwrap());
    assert_eq!(
        bench.targets("a").last().map(String::as_str),
        Some("{__address__=\"j:1\", __meta_filepath=\"D/u.json\", a=\"\u{1f600}\"}")
    );

    fs::remove_file(bench.dir.path().join("u.json")).unwrap();
    bench.manager.poll();
    assert_eq!(bench.targets("a"), first);
    assert_eq!(bench.manager.watch("b").map(drop), None);
}

#[test]
fn a_bad_file_keeps_its_last_targets() {
    let bench = Bench::new();
    bench.write("t1.yml", "- targets: ['h:1']\n");
    bench.apply(FILES);
    let good = bench.targets("a");
    for bad in ["- targets: [", "- target: [x]", "hello", "- targets: ['']"] {
        let before = bench.manager.stats().file_read_errors;
        bench.write("t1.yml", bad);
        bench.manager.poll();
        bench.manager.poll();
        assert_eq!(bench.targets("a"), good, "{bad}");
        assert_eq!(bench.manager.stats().file_read_errors, before + 1, "{bad}");
    }
    // Even unchanged, it is tried again after the refresh interval.
    let before = bench.manager.stats().file_read_errors;
    bench.clock.0.store(301, Ordering::Relaxed);
    bench.manager.poll();
    assert_eq!(bench.manager.stats().file_read_errors, before + 1);

    bench.write("t1.yml", "- targets: ['h:2']\n");
    bench.manager.poll();
    assert_ne!(bench.targets("a"), good);
}

#[test]
fn a_reload_keeps_channels_and_last_targets() {
    let bench = Bench::new();
    bench.write("t1.yml", "- targets: ['h:1']\n");
    bench.apply(FILES);
    let good = bench.targets("a");
    bench.write("t1.yml", "[");
    bench.manager.poll();
    let mut watch = bench.manager.watch("a").unwrap();
    watch.borrow_and_update();

    bench.apply(FILES);
    assert!(!watch.has_changed().unwrap(), "the job is as it was");
    assert_eq!(bench.targets("a"), good);

    bench.apply(&FILES.replace("s:1", "s:2"));
    assert!(watch.has_changed().unwrap(), "the same channel goes on");
    assert_eq!(bench.targets("a")[0], r#"{__address__="s:2", x="y"}"#);

    bench.apply("scrape_configs: []");
    assert!(watch.has_changed().is_err(), "the channel is closed");
}

#[test]
fn tells_about_itself() {
    let bench = Bench::new();
    bench.write("t1.yml", "- targets: ['h:1', 'h:2']\n");
    bench.apply(FILES);
    let stats = bench.manager.stats();
    assert_eq!(stats.discovered_targets, [("a".to_owned(), 3)]);
    assert_eq!((stats.sent_updates, stats.file_read_errors), (1, 0));
    let (file, mtime) = &stats.file_mtime_seconds[0];
    assert!(Path::new(file).ends_with("t1.yml") && *mtime > 1e9);
}

#[tokio::test(start_paused = true)]
async fn polls_by_itself() {
    let bench = Bench::new();
    bench.apply(FILES);
    let mut watch = bench.manager.watch("a").unwrap();
    let manager = bench.manager.clone();
    let task = tokio::spawn(async move { manager.run().await });
    bench.write("t1.yml", "- targets: ['h:1']\n");
    watch.changed().await.unwrap();
    assert_eq!(watch.borrow().len(), 2);
    task.abort();
}
