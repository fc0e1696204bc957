//! Remote write 2.0.

use super::*;

fn settings_2() -> Settings {
    Settings { version: Version::V2, samples_max: 1000, ..settings() }
}

#[tokio::test(start_paused = true)]
async fn rows_go_out_by_2_0_with_their_metadata() {
    let mut rig = Rig::new();
    let metadata = Some((Duration::from_secs(60), 100));
    let settings = Settings { metadata, ..settings_2() };
    let (stop, task) = rig.start_with(settings, Some(Arc::new(Known)));
    seconds(2).await;
    rig.always(Some(Act::Written { but: 0 }));
    let small = rig.layout(&["a_total", "b_total_bucket", "other"]);
    rig.row(small, AT, &[1.0, STALE, 3.0]);
    let layout = wide(&mut rig);
    append(&mut rig, layout, 0, 30);
    seconds(30).await;
    {
        let mut got = rig.got();
        let counter = (1, "h".to_owned());
        assert_eq!(got.inline.get("a_total"), Some(&counter));
        assert_eq!(got.inline.get("b_total_bucket"), Some(&counter));
        assert_eq!(got.inline.get("other"), None);
        assert!(got.metadata.is_empty());
        assert!(got.heads.iter().all(|head| head.contains("proto=io.prometheus.write.v2.Request")));
        let stale = &got.series[r#"{__name__="b_total_bucket", job="j"}"#];
        assert_eq!(stale, &[(AT, STALE.to_bits())]);
        got.series.retain(|name, _| name.contains("\"m"));
        got.sizes.clear();
    }
    check(&rig, 30, false);
    stop.send_replace(true);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn falls_back_to_1_0_on_415_and_stays_there() {
    let mut rig = Rig::new();
    let (stop, task) = rig.start(settings_2());
    seconds(1).await;
    let layout = wide(&mut rig);
    rig.acts([Act::Answer("415 Unsupported Media Type")]);
    append(&mut rig, layout, 0, 10);
    seconds(20).await;
    append(&mut rig, layout, 10, 10);
    seconds(20).await;
    stop.send_replace(true);
    task.await.unwrap();
    let versions: Vec<_> = {
        let mut got = rig.got();
        got.sizes.clear();
        got.heads.iter().map(|head| head.contains("version: 2.0.0")).collect()
    };
    assert_eq!(versions.iter().filter(|&&two| two).count(), 1);
    assert!(versions[0] && versions.len() > 2);
    check(&rig, 20, false);
}

#[tokio::test(start_paused = true)]
async fn a_yes_without_what_was_written_holds_the_samples() {
    let mut rig = Rig::new();
    let (stop, task) = rig.start(settings_2());
    seconds(1).await;
    let layout = wide(&mut rig);
    // Thanos up to 0.42.4: 200, and nothing is stored.
    rig.always(Some(Act::Answer("200 OK")));
    append(&mut rig, layout, 0, 10);
    seconds(100).await;
    assert!(rig.got().series.is_empty());
    assert!((2..5).contains(&rig.got().heads.len()));
    assert!(rig.got().heads.iter().all(|head| head.contains("version: 2.0.0")));
    let (_, error) = rig.stats().last_error.unwrap();
    assert!(error.contains("Samples-Written"), "{error}");
    rig.always(Some(Act::Written { but: 0 }));
    seconds(80).await;
    stop.send_replace(true);
    task.await.unwrap();
    rig.got().sizes.clear();
    check(&rig, 10, false);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_written_is_counted_and_remembered() {
    let mut rig = Rig::new();
    let (stop, task) = rig.start(settings_2());
    seconds(1).await;
    let layout = rig.layout(&["a", "b"]);
    rig.always(Some(Act::Written { but: 1 }));
    rig.row(layout, AT, &[1.0, 2.0]);
    seconds(10).await;
    assert_eq!(rig.got().heads.len(), 1, "not sent again");
    let stats = rig.stats();
    assert_eq!(stats.refused_times[0].reason, Reason::NotWritten);
    assert!(stats.samples_failed >= 1);
    stop.send_replace(true);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_bad_series_is_dropped_alone_by_2_0_too() {
    let mut rig = Rig::new();
    let (stop, task) = rig.start(settings_2());
    seconds(1).await;
    let layout = rig.layout(&["a", "bad", "c"]);
    rig.always(Some(Act::RefuseSeries("bad")));
    for step in 0..3 {
        rig.row(layout, AT + step, &[1.0, 2.0, 3.0]);
    }
    seconds(200).await;
    stop.send_replace(true);
    task.await.unwrap();
    assert_eq!(rig.count(|c| &c.samples_failed), 3);
}
