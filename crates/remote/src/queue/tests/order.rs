//! Restarts, backlogs and what goes first.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_kill_in_the_middle_of_a_request_repeats_that_request_alone() {
    for stored in [true, false] {
        let mut rig = Rig::new();
        let layout = wide(&mut rig);
        let (_stop, task) = rig.start(Settings { samples_max: 1000, ..settings() });
        seconds(1).await;
        rig.always(Some(Act::Atomic));
        append(&mut rig, layout, 0, 12);
        seconds(20).await;
        // The next request is stored or not, and the process is killed before it is answered.
        rig.always(Some(Act::Hang));
        if stored {
            rig.acts([Act::Lose]);
        }
        append(&mut rig, layout, 12, 4);
        seconds(7).await;
        task.abort();
        assert!(task.await.is_err());
        append(&mut rig, layout, 16, 3);
        rig.always(Some(Act::Atomic));
        rig.got().heads.clear();
        let (stop, task) = rig.start(Settings { samples_max: 1000, ..settings() });
        seconds(20).await;
        stop.send_replace(true);
        task.await.unwrap();
        rig.got().sizes.clear();
        check(&rig, 19, false);
        assert_eq!(rig.got().heads.len(), 2, "stored: {stored}");
        assert_eq!(rig.count(|c| &c.samples_failed), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn live_rows_go_first_where_that_is_asked_for() {
    let mut rig = Rig::new();
    let layout = wide(&mut rig);
    let settings = || Settings { live_first: true, samples_max: 200, ..settings() };
    rig.clock.set(Timestamp(AT));
    let (stop, task) = rig.start(settings());
    seconds(1).await;
    rig.always(Some(Act::Answer("503 Service Unavailable")));
    let mut now = 0;
    for _ in 0..100 {
        rig.clock.set(Timestamp(AT + now * 1000));
        append(&mut rig, layout, now, 1);
        now += 1;
        seconds(1).await;
    }
    // The receiver is back, and slow: live rows must not wait.
    rig.always(Some(Act::Slow(300)));
    let mut live_soon = false;
    for _ in 0..30 {
        rig.clock.set(Timestamp(AT + now * 1000));
        append(&mut rig, layout, now, 1);
        now += 1;
        seconds(1).await;
        let got = rig.got();
        let Some(samples) = got.series.values().next() else { continue };
        let newest = samples.iter().map(|s| s.0).max().unwrap();
        live_soon |= samples.len() < 90 && newest > AT + 100_000;
    }
    assert!(live_soon, "live rows waited for the backlog");
    // Killed in between: what was sent ahead is not sent again, but for one request.
    task.abort();
    assert!(task.await.is_err());
    drop(stop);
    let (stop, task) = rig.start(settings());
    seconds(30).await;
    stop.send_replace(true);
    task.await.unwrap();
    let got = rig.got();
    for samples in got.series.values() {
        let mut times: Vec<_> = samples.iter().map(|s| (s.0 - AT) / 1000).collect();
        let sent = times.len();
        times.sort_unstable();
        times.dedup();
        assert_eq!(times, (0..now).collect::<Vec<_>>());
        assert!(sent - times.len() <= 2, "{sent}");
    }
    drop(got);
    assert_eq!(rig.store.cursor("test"), Some(rig.store.last_seq()));
}

#[tokio::test(start_paused = true)]
async fn a_backlog_goes_before_what_is_new() {
    let mut rig = Rig::new();
    let layout = wide(&mut rig);
    let (stop, task) = rig.start(settings());
    seconds(1).await;
    rig.always(Some(Act::Cut));
    append(&mut rig, layout, 0, 300);
    seconds(60).await;
    rig.always(None);
    for step in 300..340 {
        append(&mut rig, layout, step, 1);
        seconds(1).await;
    }
    seconds(10).await;
    check(&rig, 340, false);
    stop.send_replace(true);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_more_comes_the_more_often_a_request_is_sent() {
    // Rows a second, and the samples of a request at least and at most.
    for (rows, sizes) in [(4, 1800..=3000), (160, 36_000..=50_000)] {
        let mut rig = Rig::new();
        let layout = wide(&mut rig);
        let (stop, task) = rig.start(Settings { samples_max: 50_000, ..settings() });
        rig.always(Some(Act::Atomic));
        let all = 13 * rows;
        for step in 0..all {
            append(&mut rig, layout, step, 1);
            let millis = (step + 1) * 1000 / rows - step * 1000 / rows;
            tokio::time::sleep(Duration::from_millis(millis.cast_unsigned())).await;
            let waiting = step + 1
                - i64::try_from(rig.got().series.values().next().map_or(0, Vec::len)).unwrap();
            assert!(waiting <= 5 * rows, "{waiting} rows wait longer than the deadline");
        }
        let steady = rig.got().sizes.get(2..).unwrap_or_default().to_vec();
        stop.send_replace(true);
        task.await.unwrap();
        assert!(steady.len() >= 2 && steady.iter().all(|size| sizes.contains(size)), "{steady:?}");
        rig.got().sizes.clear();
        check(&rig, all, false);
    }
}
