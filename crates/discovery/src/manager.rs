//! The jobs, their sources, and the channels that their targets are published on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use narthex_config::{ScrapeConfig, TargetGroup};
use narthex_model::Clock;
use parking_lot::Mutex;
use tokio::sync::watch::{Receiver, Sender};

use crate::group::Group;
use crate::stats::Stats;
use crate::watch::Watch;

/// Time between two looks at the target files.
pub const POLL_INTERVAL: Duration = Duration::from_secs(3);

/// Follows the sources of every job. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Manager {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Arc<dyn Clock>,
    base_dir: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    jobs: BTreeMap<String, Job>,
    /// Counters only; what is of now is filled in on asking.
    counters: Stats,
}

#[derive(Debug)]
struct Job {
    statics: Vec<TargetGroup>,
    watches: Vec<Watch>,
    sender: Sender<Arc<Vec<Group>>>,
}

impl Manager {
    /// A manager without jobs. Names of target files are relative to `base_dir`, the folder of
    /// the configuration file.
    pub fn new(clock: Arc<dyn Clock>, base_dir: PathBuf) -> Self {
        let state = Mutex::default();
        Self { shared: Arc::new(Shared { clock, base_dir, state }) }
    }

    /// Follows the sources of `configs` from now on, and no others. Target files that are new
    /// are read before this returns, so that a job's first targets are complete; files that were
    /// followed before keep what is known of them.
    pub fn apply(&self, configs: &[ScrapeConfig]) {
        let mut state = self.shared.state.lock();
        let State { jobs, counters } = &mut *state;
        jobs.retain(|name, _| configs.iter().any(|config| config.job_name == *name));
        for config in configs {
            let job = jobs.entry(config.job_name.clone()).or_insert_with(Job::new);
            job.statics.clone_from(&config.static_configs);
            let mut old = std::mem::take(&mut job.watches);
            for entry in &config.file_sd_configs {
                let kept = old.iter().position(|watch| watch.is_for(entry));
                let watch = kept.map_or_else(
                    || {
                        let mut watch = Watch::new(entry.clone(), &self.shared.base_dir);
                        self.look(&mut watch, counters);
                        watch
                    },
                    |at| old.swap_remove(at),
                );
                job.watches.push(watch);
            }
            job.publish(counters);
        }
    }

    /// The channel of `job`, which always holds the whole of its groups; `None` where there is
    /// no such job. It closes when a reload leaves the job out.
    pub fn watch(&self, job: &str) -> Option<Receiver<Arc<Vec<Group>>>> {
        let state = self.shared.state.lock();
        state.jobs.get(job).map(|job| job.sender.subscribe())
    }

    /// Looks at all target files once, and publishes what has changed. Reads files: not to be
    /// called where waiting for a disk would hurt.
    pub fn poll(&self) {
        let mut state = self.shared.state.lock();
        let State { jobs, counters } = &mut *state;
        for job in jobs.values_mut() {
            let mut changed = false;
            for watch in &mut job.watches {
                changed |= self.look(watch, counters);
            }
            if changed {
                job.publish(counters);
            }
        }
    }

    /// Polls for ever, on tokio's threads for blocking work. To be dropped at shutdown.
    pub async fn run(&self) {
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            let manager = self.clone();
            // A panic in there was printed; the next round tries again.
            let _ = tokio::task::spawn_blocking(move || manager.poll()).await;
        }
    }

    /// What discovery tells about itself.
    pub fn stats(&self) -> Stats {
        let state = self.shared.state.lock();
        let mut told = state.counters.clone();
        for (name, job) in &state.jobs {
            let targets: usize = job.sender.borrow().iter().map(|group| group.targets.len()).sum();
            told.discovered_targets.push((name.clone(), targets as u64));
            told.file_mtime_seconds.extend(job.watches.iter().flat_map(Watch::mtimes));
        }
        told.file_mtime_seconds.sort_by(|a, b| a.0.cmp(&b.0));
        told.file_mtime_seconds.dedup_by(|a, b| a.0 == b.0);
        told
    }

    /// Whether the groups of `watch` are others now.
    fn look(&self, watch: &mut Watch, counters: &mut Stats) -> bool {
        let start = self.shared.clock.monotonic();
        let outcome = watch.look(start);
        counters.file_scans += 1;
        let spent = self.shared.clock.monotonic().saturating_sub(start);
        counters.file_scan_seconds += spent.as_secs_f64();
        counters.file_read_errors += outcome.errors;
        counters.received_updates += u64::from(outcome.changed);
        outcome.changed
    }
}

impl Job {
    fn new() -> Self {
        let (statics, watches) = (Vec::new(), Vec::new());
        Self { statics, watches, sender: Sender::new(Arc::default()) }
    }

    fn publish(&self, counters: &mut Stats) {
        let statics = self.statics.iter().enumerate();
        let statics = statics.map(|(index, listed)| Group::new(index.to_string(), listed, None));
        let files = self.watches.iter().flat_map(Watch::groups).cloned();
        let groups: Vec<Group> = statics.chain(files).collect();
        let sent = self.sender.send_if_modified(|published| {
            let differs = **published != groups;
            if differs {
                *published = Arc::new(groups);
            }
            differs
        });
        counters.sent_updates += u64::from(sent);
    }
}

#[cfg(test)]
mod tests;
