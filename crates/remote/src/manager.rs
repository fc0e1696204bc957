//! All queues, kept as the configuration says.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use narthex_config::RemoteWrite;
use narthex_model::{Clock, Labels, TimeRange};
use narthex_net::Dial;
use narthex_store::{RowSeq, Store};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::error::Error;
use crate::find;
use crate::ledger::Offer;
use crate::metadata::MetadataSource;
use crate::queue::{Links, Queue};
use crate::spec::Spec;
use crate::stats::{Counters, QueueStats};

/// How long a queue whose section was changed or removed may take to send what it has read.
const HANDOVER: Duration = Duration::from_secs(5);

/// Runs one queue per `remote_write` section. Shared by those who apply configurations, and those
/// who read the figures.
#[derive(Debug)]
pub struct Manager {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    dial: Arc<dyn Dial>,
    base_dir: PathBuf,
    metadata: Option<Arc<dyn MetadataSource>>,
    running: Mutex<Vec<Running>>,
}

/// A queue and its task.
#[derive(Debug)]
struct Running {
    section: RemoteWrite,
    external: Labels,
    /// The cursor's name.
    cursor: String,
    /// The figures that do not change.
    fixed: QueueStats,
    counters: Arc<Counters>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Manager {
    /// No queue yet. Relative paths in the configuration are below `base_dir`; `metadata`, where
    /// given, is sent as `metadata_config` says.
    pub fn new(
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
        dial: Arc<dyn Dial>,
        base_dir: impl Into<PathBuf>,
        metadata: Option<Arc<dyn MetadataSource>>,
    ) -> Self {
        let running = Mutex::new(Vec::new());
        Self { store, clock, dial, base_dir: base_dir.into(), metadata, running }
    }

    /// Makes the queues be those of `sections`. A queue whose section and `external` labels are
    /// as before goes on undisturbed; a changed one ends its request and goes on where it was
    /// under the new settings; one that is gone is forgotten with its place. A new queue begins
    /// with the rows appended from now on, unless the store knows its place from an earlier run.
    ///
    /// Must be called within the runtime that is to run the queues.
    ///
    /// # Errors
    /// When a section cannot be used; all queues are as before then.
    pub fn apply(&self, sections: &[RemoteWrite], external: &Labels) -> Result<(), Error> {
        let mut specs = Vec::with_capacity(sections.len());
        for section in sections {
            let cursor = cursor_name(section, &specs);
            specs.push(Spec::new(section, external, cursor, &self.base_dir, &self.dial)?);
        }
        let start = self.store.last_seq();
        let mut running = self.running.lock();
        let mut before = std::mem::take(&mut *running);
        for (section, spec) in sections.iter().zip(specs) {
            let same_place = before.iter().position(|old| old.cursor == spec.cursor());
            let old = same_place.map(|at| before.swap_remove(at));
            running.push(match old {
                Some(old) if old.section == *section && old.external == *external => old,
                old => self.start(section, external, spec, old, start),
            });
        }
        for old in before {
            let store = Arc::clone(&self.store);
            tokio::spawn(async move {
                let cursor = old.cursor.clone();
                old.end(Arc::clone(&store), HANDOVER).await;
                store.drop_cursor(&cursor);
                store.drop_journal(&cursor);
            });
        }
        Ok(())
    }

    fn start(
        &self,
        section: &RemoteWrite,
        external: &Labels,
        spec: Spec,
        old: Option<Running>,
        start: RowSeq,
    ) -> Running {
        let (stop, stopped) = watch::channel(false);
        let cursor = spec.cursor().to_owned();
        let fixed = spec.fixed.clone();
        let counters = old.as_ref().map(|old| Arc::clone(&old.counters)).unwrap_or_default();
        let links = Links {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            session: spec.session,
            counters: Arc::clone(&counters),
            metadata: self.metadata.clone(),
        };
        let queue = Queue::new(spec.settings, links);
        let store = Arc::clone(&self.store);
        let task = tokio::spawn(async move {
            // ORDER: the old queue saves its place before the new one looks for it.
            if let Some(old) = old {
                old.end(store, HANDOVER).await;
            }
            Box::pin(queue.run(start, stopped)).await;
        });
        let (section, external) = (section.clone(), external.clone());
        Running { section, external, cursor, fixed, counters, stop, task }
    }

    /// The figures of all queues, in the order of the configuration.
    pub fn stats(&self) -> Vec<QueueStats> {
        let last = self.store.last_seq();
        // A queue that waits for its receiver reads nothing: how far it is behind shows against
        // the newest row of the store.
        let newest = self.store.stats().head_range.map(|range| range.end);
        let now = self.clock.now();
        let running = self.running.lock();
        let stats = running.iter().map(|queue| {
            let mut stats = queue.fixed.clone();
            queue.counters.fill(&mut stats);
            stats.highest = stats.highest.max(newest);
            queue.counters.fill_backlog(&mut stats, last, now);
            stats
        });
        stats.collect()
    }

    /// Has the queue `name` offer the rows of `times` again, as far as the store has them; tells
    /// how many places of rows are looked at. What the receiver refused of that time is forgotten,
    /// and noted anew where it refuses it again.
    ///
    /// # Errors
    /// [`Error::UnknownQueue`], and [`Error::Store`] when rows cannot be read.
    pub fn resend(&self, name: &str, times: TimeRange) -> Result<u64, Error> {
        let counters = {
            let running = self.running.lock();
            let found = running.iter().find(|queue| queue.fixed.name == name);
            let found = found.ok_or_else(|| Error::UnknownQueue { name: name.to_owned() })?;
            Arc::clone(&found.counters)
        };
        // What was not sent yet comes anyway.
        let sent = RowSeq(counters.place.load(Ordering::Relaxed));
        let span = find::span(&self.store, times, sent)?;
        if span.rows() > 0 {
            counters.put_offer(Offer { span, times });
        }
        Ok(span.rows())
    }

    /// Ends all queues: each sends what the store has, until its first failure or until
    /// `patience` is over, and saves its place. What was not sent is sent after the next start.
    pub async fn stop(&self, patience: Duration) {
        let running = std::mem::take(&mut *self.running.lock());
        for queue in &running {
            queue.stop.send_replace(true);
        }
        let end = |queue: Running| tokio::spawn(queue.end(Arc::clone(&self.store), patience));
        let ends: Vec<_> = running.into_iter().map(end).collect();
        for end in ends {
            // The task only waits; that it was cancelled with the runtime is an end as well.
            let _ = end.await;
        }
    }
}

impl Running {
    /// Tells the queue to end, and waits until it has, or cancels it.
    async fn end(mut self, store: Arc<Store>, patience: Duration) {
        self.stop.send_replace(true);
        if tokio::time::timeout(patience, &mut self.task).await.is_ok() {
            return;
        }
        self.task.abort();
        // Its end is what is waited for, not how it came to it.
        let _ = self.task.await;
        // What it could not save itself any more; a queue that never began has no place.
        let place = RowSeq(self.counters.place.load(Ordering::Relaxed));
        if let Some(saved) = store.cursor(&self.cursor).filter(|&saved| saved < place) {
            let cursor = self.cursor;
            let saving = tokio::task::spawn_blocking(move || store.save_cursor(&cursor, place));
            if !matches!(saving.await, Ok(Ok(()))) {
                let behind = place.0 - saved.0;
                tracing::warn!(behind, "a queue's place was not saved: rows will be sent twice");
            }
        }
    }
}

/// The name of a section's cursor: it must be the same after a restart and after a change of the
/// section that leaves its name, or without one its address, as it is.
fn cursor_name(section: &RemoteWrite, before: &[Spec]) -> String {
    let base = format!("remote-write-{:016x}", fnv1a(section.queue_name().as_bytes()));
    let taken = |name: &str| before.iter().any(|spec| spec.cursor() == name);
    let mut name = base.clone();
    for number in 2.. {
        if !taken(&name) {
            break;
        }
        name = format!("{base}-{number}");
    }
    name
}

/// The FNV-1a hash: written to disk as part of names, so it must never change.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
