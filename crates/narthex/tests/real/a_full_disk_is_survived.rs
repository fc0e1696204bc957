//! The disk fills up in the middle of ingest and gets room again, on a small file system of its
//! own: queries are answered all along, samples come again by themselves, and what was shown is
//! there after a kill.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use narthex_testkit::background::Background;
use narthex_testkit::fleet::{Fleet, Options};
use narthex_testkit::http;
use narthex_testkit::process::wait_until;

use crate::node::{Node, Samples, bodies, config, lost, merge, now_ms};

const SELECTOR: &str = "{job=\"node\"}";
const RESUME_MAX: Duration = Duration::from_secs(5);

/// A file system in memory of 8 MiB, gone with this.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where the test may not mount.
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(at);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then(|| Self(at.to_owned()))
    }

    /// Fills what is free.
    fn fill(&self) {
        let mut ballast = File::create(self.0.join("ballast")).unwrap();
        let piece = [0; 4096];
        while ballast.write_all(&piece).is_ok() {}
    }

    fn make_room(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Also while a program still has files open there.
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[test]
fn a_full_disk_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&folder.path().join("disk")) else {
        eprintln!("SKIPPED: a file system for the full disk cannot be mounted");
        assert!(std::env::var_os("NARTHEX_MOUNT_REQUIRED").is_none());
        return;
    };
    let background = Background::start().unwrap();
    let options = Options { targets: 3, frame_time: Duration::from_millis(700), chunk_bytes: 2048 };
    let fleet = background.run(Fleet::start(bodies(900, 50), &options)).unwrap();
    let targets: Vec<String> = fleet.addresses().iter().map(ToString::to_string).collect();
    let data = disk.0.join("data");
    let mut narthex = Node::narthex_in(&data, &config(&targets, None));
    let mut shown = Samples::new();
    let mut watch = |narthex: &Node, time: Duration| {
        let until = Instant::now() + time;
        while Instant::now() < until {
            merge(&mut shown, narthex.raw(SELECTOR, 5, now_ms()));
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    watch(&narthex, Duration::from_secs(4));

    disk.fill();
    let full = wait_until(Duration::from_secs(30), || {
        narthex.raw("up", 2, now_ms()).values().all(Vec::is_empty)
    });
    assert!(full, "samples still come: {}", narthex.log());
    watch(&narthex, Duration::from_secs(3));
    let before: usize = narthex.raw(SELECTOR, 60, now_ms()).values().map(Vec::len).sum();
    assert!(before > 5_000, "only {before} samples are shown while the disk is full");
    let answer = http::get(narthex.port, "/-/healthy").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());

    disk.make_room();
    let room_at = now_ms();
    let back = wait_until(RESUME_MAX, || {
        let up = narthex.raw("up", 3, now_ms());
        up.len() == 3 && up.values().all(|s| s.last().is_some_and(|&(at, _)| at > room_at))
    });
    assert!(back, "samples do not come again: {}", narthex.log());
    watch(&narthex, Duration::from_secs(3));

    narthex.kill();
    narthex.run();
    let kept = narthex.raw(SELECTOR, 120, now_ms());
    let lost = lost(&shown, &kept);
    assert!(lost.is_empty(), "lost {} samples: {lost:?}: {}", lost.len(), narthex.log());
    let samples: usize = shown.values().map(Vec::len).sum();
    println!("{samples} samples were shown, none lost");
    assert!(samples > 15_000, "only {samples} samples were shown: {}", narthex.log());
    narthex.kill();
}
