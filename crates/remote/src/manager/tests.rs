use narthex_config::Config;
use narthex_model::Timestamp;
use narthex_net::dial::Tcp;
use narthex_store::testing::{HandClock, memory_store};
use narthex_store::{LayoutRef, Row, Writer};
use narthex_testkit::receiver::Receiver;

use super::*;

fn sections(text: &str) -> Vec<RemoteWrite> {
    Config::parse(text, "test.yml").unwrap().remote_write
}

struct Rig {
    manager: Manager,
    store: Arc<Store>,
    writer: Writer,
    layout: LayoutRef,
    rows: i64,
}

impl Rig {
    fn new() -> Self {
        let (store, mut writer) = memory_store();
        let source = writer.new_source();
        let layout = writer.new_layout(source).unwrap();
        let series = writer.resolve(&Labels::from_pairs([("__name__", "up")])).unwrap();
        writer.add_columns(layout, &[series]).unwrap();
        let clock = Arc::new(HandClock::new(Timestamp(0)));
        let manager = Manager::new(Arc::clone(&store), clock, Arc::new(Tcp), "/", None);
        Self { manager, store, writer, layout, rows: 0 }
    }

    fn row(&mut self) {
        self.rows += 1;
        let at = Timestamp(1_795_000_000_000 + self.rows);
        self.writer
            .append(&Row { layout: self.layout, at, values: &[1.0], changed: None })
            .unwrap();
    }

    async fn until(&self, done: impl Fn(&[QueueStats]) -> bool) {
        for _ in 0..500 {
            if done(&self.manager.stats()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?}", self.manager.stats());
    }
}

#[tokio::test]
async fn queues_follow_the_configuration() {
    let receiver = Receiver::start(0, true).await.unwrap();
    let url = format!("http://{}", receiver.address());
    let mut rig = Rig::new();
    let text = |first: &str| {
        sections(&format!(
            "remote_write:\n- url: {url}/a\n  queue_config: {{batch_send_deadline: 10ms}}\n{first}\
             - url: {url}/b\n  name: b\n  queue_config: {{batch_send_deadline: 10ms}}\n"
        ))
    };
    let external = Labels::from_pairs([("site", "x")]);
    rig.row();
    rig.manager.apply(&text(""), &external).unwrap();
    rig.row();
    rig.until(|stats| stats.iter().all(|queue| queue.rows_behind == 0 && queue.samples == 1)).await;
    // One queue is changed: it goes on where it was; the other is left alone.
    let changed = text("  headers: {X-Scope: y}\n");
    rig.manager.apply(&changed, &external).unwrap();
    rig.row();
    rig.until(|stats| stats.iter().all(|queue| queue.rows_behind == 0 && queue.samples == 2)).await;
    let stats = rig.manager.stats();
    assert_eq!(stats[1].name, "b");
    assert_eq!((stats[0].shards_max, stats[0].max_samples_per_send), (50, 50_000));
    assert_eq!(stats[0].duration_counts.iter().sum::<u64>(), 2);
    assert!(stats[0].bytes > 0 && stats[0].highest_sent == Some(Timestamp(1_795_000_000_003)));
    // What comes while no queue runs is sent after the next start.
    rig.manager.stop(Duration::from_secs(5)).await;
    rig.row();
    rig.manager.apply(&changed, &external).unwrap();
    rig.until(|stats| stats.iter().all(|queue| queue.rows_behind == 0)).await;
    rig.manager.stop(Duration::from_secs(5)).await;
    for path in ["/a", "/b"] {
        let got = receiver.received(path);
        assert_eq!((got.samples, got.out_of_order, got.malformed), (3, 0, 0));
        assert_eq!(got.series.keys().collect::<Vec<_>>(), [r#"__name__="up",site="x","#]);
    }
    // A section that is gone loses its place.
    rig.manager.apply(&changed, &external).unwrap();
    let cursor = cursor_name(&changed[0], &[]);
    rig.manager.apply(&changed[1..], &external).unwrap();
    assert_eq!(rig.manager.stats().len(), 1);
    for _ in 0..500 {
        if rig.store.cursor(&cursor).is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the cursor is still there");
}

#[tokio::test]
async fn refuses_what_cannot_be_used() {
    let rig = Rig::new();
    let bad =
        sections("remote_write:\n- url: http://h/\n  tls_config: {ca_file: /does/not/exist}\n");
    let error = rig.manager.apply(&bad, &Labels::empty()).unwrap_err();
    let text = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(text, "unable to read CA cert file /does/not/exist: no such file or directory");
    assert!(rig.manager.stats().is_empty());
}

#[test]
fn names_are_stable() {
    let sections = sections("remote_write:\n- url: http://u:p@h/w\n- url: http://h/x\n  name: n\n");
    let names: Vec<_> = sections.iter().map(|section| cursor_name(section, &[])).collect();
    assert_eq!(names, ["remote-write-c0e272f54326ec3f", "remote-write-af63e34c8601f871"]);
}
