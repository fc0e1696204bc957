//! Exemplars follow the samples that they came with.

use narthex_store::exemplars::{Incoming, Taken};

use super::*;

fn settings_of(version: Version) -> Settings {
    Settings { exemplars: true, version, samples_max: 3, ..settings() }
}

/// A row of the series `name`, and with it an exemplar.
fn row(rig: &mut Rig, layout: LayoutRef, name: &str, step: i64) {
    let at = AT + step * 1000;
    rig.row(layout, at, &[step as f64]);
    let labels = Labels::from_pairs([("__name__", name), ("job", "j")]);
    let series = rig.writer.resolve(&labels).unwrap();
    let mut incoming = Incoming::new(step as f64, Timestamp(at), true);
    incoming.label("id", "x");
    let taken = rig.writer.keep_exemplars().unwrap().offer(series, &mut 0, &incoming);
    assert_eq!(taken, Taken::Kept);
}

fn shown(name: &str, step: i64) -> String {
    format!("{{__name__=\"{name}\", job=\"j\"}} {{id=\"x\"}} {step} {}", AT + step * 1000)
}

#[tokio::test(start_paused = true)]
async fn exemplars_go_out_behind_their_samples() {
    for version in [Version::V1, Version::V2] {
        let mut rig = Rig::new();
        rig.store.exemplars().set_max(100);
        let layout = rig.layout(&["a"]);
        row(&mut rig, layout, "a", 0);
        let (stop, task) = rig.start(settings_of(version));
        seconds(1).await;
        for step in 1..=7 {
            row(&mut rig, layout, "a", step);
        }
        assert!(rig.got().exemplars.is_empty(), "the samples have not been sent");
        seconds(20).await;
        let want: Vec<String> = (1..=7).map(|step| shown("a", step)).collect();
        assert_eq!(rig.got().exemplars, want);
        let stats = rig.stats();
        assert_eq!((stats.exemplars.sent, stats.exemplars.pending), (7, 0));
        // Another queue in its place goes on there.
        stop.send_replace(true);
        task.await.unwrap();
        row(&mut rig, layout, "a", 8);
        let (stop, task) = rig.start(settings_of(version));
        seconds(20).await;
        assert_eq!(rig.got().exemplars.last(), Some(&shown("a", 8)));
        assert_eq!(rig.got().exemplars.len(), 8);
        stop.send_replace(true);
        task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn exemplars_are_not_sent_unless_asked_for() {
    let mut rig = Rig::new();
    rig.store.exemplars().set_max(100);
    let layout = rig.layout(&["a"]);
    let (stop, task) = rig.start(settings());
    seconds(1).await;
    row(&mut rig, layout, "a", 1);
    seconds(20).await;
    assert_eq!(rig.got().series.len(), 1);
    assert!(rig.got().exemplars.is_empty());
    stop.send_replace(true);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn exemplars_wait_for_a_receiver_that_is_away_and_give_way_to_samples() {
    let mut rig = Rig::new();
    rig.store.exemplars().set_max(5);
    let layout = rig.layout(&["a"]);
    let (stop, task) = rig.start(settings_of(Version::V1));
    seconds(1).await;
    rig.always(Some(Act::Answer("503 Service Unavailable")));
    for step in 1..=9 {
        row(&mut rig, layout, "a", step);
    }
    seconds(60).await;
    assert!(rig.got().exemplars.is_empty());
    rig.always(None);
    seconds(60).await;
    let want: Vec<String> = (5..=9).map(|step| shown("a", step)).collect();
    assert_eq!(rig.got().exemplars, want, "the store had no room for more");
    assert_eq!(rig.stats().exemplars.lost, 4);
    // One that is refused is given up; samples go on.
    rig.acts([Act::Answer("204 No Content"), Act::Answer("400 Bad Request")]);
    row(&mut rig, layout, "a", 10);
    seconds(20).await;
    row(&mut rig, layout, "a", 11);
    seconds(20).await;
    assert_eq!(rig.got().exemplars.last(), Some(&shown("a", 11)));
    assert_eq!((rig.stats().exemplars.failed, rig.stats().exemplars.pending), (1, 0));
    // So is one whose request failed for a while, but later.
    rig.acts([Act::Answer("204 No Content"), Act::Cut, Act::Answer("429 Too Many Requests")]);
    row(&mut rig, layout, "a", 12);
    seconds(60).await;
    assert_eq!(rig.got().exemplars.last(), Some(&shown("a", 12)));
    assert!(rig.stats().exemplars.retried >= 1);
    stop.send_replace(true);
    task.await.unwrap();
}
