//! What a receiver can do to a sender: nothing of it loses a sample, breaks the order, or harms
//! another series.

use super::*;

/// The receiver does `act` for two minutes, in which rows go on.
async fn survive(act: Act) -> Rig {
    let mut rig = Rig::new();
    let (stop, task) = rig.start(settings());
    seconds(1).await;
    let layout = wide(&mut rig);
    append(&mut rig, layout, 0, 5);
    seconds(10).await;
    rig.always(Some(act));
    for turn in 0..12 {
        append(&mut rig, layout, 5 + turn * 3, 3);
        seconds(10).await;
    }
    rig.always(None);
    seconds(90).await;
    append(&mut rig, layout, 41, 2);
    seconds(30).await;
    stop.send_replace(true);
    task.await.unwrap();
    rig
}

#[tokio::test(start_paused = true)]
async fn every_way_to_be_away_is_waited_out() {
    for act in [
        Act::Cut,
        Act::Hang,
        Act::Answer("408 Request Timeout"),
        Act::Answer("429 Too Many Requests"),
        Act::Answer("500 Internal Server Error"),
        Act::Answer("502 Bad Gateway"),
        Act::Answer("503 Service Unavailable\r\nRetry-After: 3"),
        Act::Answer("504 Gateway Timeout"),
        Act::Answer("nonsense"),
        Act::Talk("500 Internal Server Error"),
    ] {
        let rig = survive(act.clone()).await;
        check(&rig, 43, false);
        assert_eq!(rig.count(|c| &c.samples_failed), 0, "{act:?}");
        assert!(rig.count(|c| &c.samples_retried) > 0, "{act:?}");
        let heads = rig.got().heads.len();
        assert!(heads < 400, "{act:?}: {heads} requests");
    }
}

#[tokio::test(start_paused = true)]
async fn what_somebody_must_mend_is_tried_seldom_and_never_given_up() {
    for status in ["401 Unauthorized", "403 Forbidden", "404 Not Found", "415 Unsupported"] {
        let rig = survive(Act::Answer(status)).await;
        check(&rig, 43, false);
        assert_eq!(rig.count(|c| &c.samples_failed), 0, "{status}");
        let got = rig.got();
        let tries = got.heads.iter().filter(|head| head.contains("retry-attempt")).count();
        assert!((2..6).contains(&tries), "{status}: {tries} in two minutes");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_no_loss_and_no_disorder() {
    // Several rows of each series in a request, so that a repeat is out of order.
    for after in [Act::Atomic, Act::Thanos] {
        let mut rig = Rig::new();
        let (stop, task) = rig.start(Settings { samples_max: 1000, ..settings() });
        seconds(1).await;
        let layout = wide(&mut rig);
        rig.always(Some(after.clone()));
        rig.acts([Act::Lose, Act::Lose]);
        append(&mut rig, layout, 0, 6);
        seconds(20).await;
        rig.acts([Act::Lose, Act::Answer("503 Service Unavailable"), Act::Cut]);
        append(&mut rig, layout, 6, 20);
        seconds(40).await;
        stop.send_replace(true);
        task.await.unwrap();
        let got = rig.got();
        assert_eq!(got.series.len(), 150);
        for samples in got.series.values() {
            // The second of two lost answers is of a request that this receiver does not check.
            let mut samples = samples.clone();
            samples.dedup();
            let times: Vec<_> = samples.iter().map(|&(at, _)| at).collect();
            let mut distinct = times.clone();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), 26, "{after:?}");
        }
        drop(got);
        assert_eq!(rig.count(|c| &c.samples_failed), 0, "{after:?}");
        assert!(rig.count(|c| &c.samples_repeated) > 0, "{after:?}");
        assert!(rig.stats().refused_times.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn one_bad_series_is_dropped_alone() {
    let mut rig = Rig::new();
    let (stop, task) = rig.start(Settings { samples_max: 1000, ..settings() });
    seconds(1).await;
    let layout = wide(&mut rig);
    rig.always(Some(Act::RefuseSeries("m077")));
    append(&mut rig, layout, 0, 12);
    seconds(20).await;
    let searching = rig.count(|c| &c.samples);
    for turn in 0..10 {
        append(&mut rig, layout, 12 + turn * 4, 4);
        seconds(10).await;
    }
    // Once found, it costs one request beside each.
    let sent = rig.count(|c| &c.samples) - searching;
    assert_eq!(sent, 40 * 150);
    rig.always(None);
    append(&mut rig, layout, 52, 8);
    seconds(20).await;
    append(&mut rig, layout, 60, 4);
    seconds(20).await;
    stop.send_replace(true);
    task.await.unwrap();
    let got = rig.got();
    assert_eq!(got.series.len(), 150);
    for (name, samples) in &got.series {
        let times: Vec<_> = samples.iter().map(|&(at, _)| (at - AT) / 1000).collect();
        let want = if name.contains("m077") { 52..64 } else { 0..64 };
        assert_eq!(times, want.collect::<Vec<_>>(), "{name}");
    }
    drop(got);
    let stats = rig.stats();
    assert_eq!(stats.samples_failed, 52);
    assert_eq!(stats.refused[usize::from(Reason::Invalid.number())], 52);
    assert_eq!(stats.refused_times.iter().map(|it| it.samples).sum::<u64>(), 52);
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_too_large_become_smaller_and_stay_so() {
    let mut rig = Rig::new();
    let (stop, task) = rig.start(Settings { samples_max: 3000, ..settings() });
    seconds(1).await;
    let layout = wide(&mut rig);
    rig.always(Some(Act::SamplesMax(700)));
    append(&mut rig, layout, 0, 40);
    seconds(30).await;
    let refused_of = |rig: &Rig| {
        let got = rig.got();
        got.heads.len() - got.sizes.len()
    };
    let refused = refused_of(&rig);
    assert!((1..6).contains(&refused), "{refused}");
    append(&mut rig, layout, 40, 40);
    seconds(30).await;
    assert_eq!(refused_of(&rig), refused);
    stop.send_replace(true);
    task.await.unwrap();
    assert!(rig.got().sizes.iter().all(|&size| size <= 700));
    assert!(rig.got().sizes.iter().any(|&size| size > 300));
    rig.got().sizes.clear();
    check(&rig, 80, false);
    assert_eq!(rig.count(|c| &c.samples_failed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_refuses_everything_is_not_asked_for_ever() {
    let mut rig = Rig::new();
    let (stop, task) = rig.start(Settings { samples_max: 1000, ..settings() });
    seconds(1).await;
    let layout = wide(&mut rig);
    rig.always(Some(Act::Talk("400 Bad Request")));
    for turn in 0..30 {
        append(&mut rig, layout, turn * 2, 2);
        seconds(6).await;
    }
    let requests = rig.got().heads.len();
    assert!(requests < 3000, "{requests} requests");
    assert_eq!(rig.count(|c| &c.samples_failed), 60 * 150);
    assert_eq!(rig.stats().refused_times.len(), 1);
    stop.send_replace(true);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn thanos_refuses_a_part_and_the_rest_goes_on() {
    let mut rig = Rig::new();
    let (stop, task) = rig.start(Settings { samples_max: 1000, ..settings() });
    seconds(1).await;
    let layout = rig.layout(&["a", "b"]);
    // Another node has moved the head of one series on.
    let name = r#"{__name__="a", job="j"}"#;
    rig.got().series.insert(name.to_owned(), vec![(AT + 4500, 0)]);
    rig.always(Some(Act::Thanos));
    for step in 0..8 {
        rig.row(layout, AT + step * 1000, &[1.0, 2.0]);
    }
    seconds(20).await;
    let times = |rig: &Rig, index: usize| {
        let got = rig.got();
        got.series.values().nth(index).unwrap().iter().map(|s| s.0 - AT).collect::<Vec<_>>()
    };
    assert_eq!(times(&rig, 0), [4500, 5000, 6000, 7000]);
    assert_eq!(times(&rig, 1).len(), 8);
    let stats = rig.stats();
    assert_eq!((stats.samples_failed, stats.refused[0]), (5, 5));
    let [refused] = stats.refused_times[..] else { panic!("{stats:?}") };
    assert_eq!((refused.reason, refused.samples), (Reason::OutOfOrder, 5));
    assert_eq!(refused.times, TimeRange::new(Timestamp(AT), Timestamp(AT + 7000)));
    // The window is opened, and the time is offered again.
    rig.always(None);
    let times_again = refused.times;
    let span = Span { after: RowSeq(0), last: rig.store.last_seq() };
    rig.counters.put_offer(Offer { span, times: times_again });
    seconds(10).await;
    assert_eq!(times(&rig, 0).len(), 4 + 8);
    assert!(rig.stats().refused_times.is_empty());
    assert_eq!(rig.stats().offers, 0);
    stop.send_replace(true);
    task.await.unwrap();
}
