//! What the user should know about the state of the server, for pages that listen.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use narthex_model::Timestamp;
use parking_lot::Mutex;
use tokio::sync::broadcast;

/// The configuration could not be read again.
pub const RELOAD_FAILED: &str = "Configuration reload has failed.";

/// The log is being replayed.
pub const STARTING: &str = "Prometheus is starting and replaying the write-ahead log (WAL).";

/// The end has begun.
pub const STOPPING: &str = "Prometheus is shutting down and gracefully stopping all operations.";

/// News that a slow listener may miss before it loses the oldest.
const NEWS_WAITING_MAX: usize = 16;

/// Something to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// What.
    pub text: &'static str,
    /// Since when, or when it was said again.
    pub date: Timestamp,
    /// Whether it still holds.
    pub active: bool,
}

/// What holds now, and those who listen.
#[derive(Debug)]
pub struct Notifications {
    current: Mutex<Vec<Notification>>,
    news: broadcast::Sender<Notification>,
    listeners: Arc<AtomicUsize>,
    listeners_max: usize,
}

/// A listener's place among those there may be.
#[derive(Debug)]
pub struct Listener {
    /// What held when it began to listen.
    pub current: Vec<Notification>,
    /// What comes.
    pub news: broadcast::Receiver<Notification>,
    place: Arc<AtomicUsize>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.place.fetch_sub(1, Relaxed);
    }
}

impl Notifications {
    /// Nothing holds yet; so many may listen.
    pub fn new(listeners_max: usize) -> Self {
        let (news, _) = broadcast::channel(NEWS_WAITING_MAX);
        Self { current: Mutex::default(), news, listeners: Arc::default(), listeners_max }
    }

    /// This holds from now on.
    pub fn raise(&self, text: &'static str, date: Timestamp) {
        let mut current = self.current.lock();
        current.retain(|notification| notification.text != text);
        let notification = Notification { text, date, active: true };
        current.push(notification.clone());
        // Nobody may listen.
        let _ = self.news.send(notification);
    }

    /// This holds no more.
    pub fn clear(&self, text: &str) {
        let mut current = self.current.lock();
        if let Some(at) = current.iter().position(|notification| notification.text == text) {
            let notification = Notification { active: false, ..current.remove(at) };
            let _ = self.news.send(notification);
        }
    }

    /// What holds now.
    pub fn current(&self) -> Vec<Notification> {
        self.current.lock().clone()
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.listeners.load(Relaxed)
    }

    /// Listens; `None` when as many do as may.
    pub fn listen(&self) -> Option<Listener> {
        let free = |count| (count < self.listeners_max).then_some(count + 1);
        self.listeners.fetch_update(Relaxed, Relaxed, free).ok()?;
        let current = self.current.lock();
        let news = self.news.subscribe();
        Some(Listener { current: current.clone(), news, place: Arc::clone(&self.listeners) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_is_told_to_those_who_come_and_changes_to_those_who_are_there() {
        let notifications = Notifications::new(1);
        notifications.raise(STARTING, Timestamp(1));
        let mut listener = notifications.listen().unwrap();
        assert!(notifications.listen().is_none());
        assert_eq!(listener.current, notifications.current());
        notifications.clear(STARTING);
        notifications.clear(STARTING);
        let news = listener.news.try_recv().unwrap();
        assert_eq!(news, Notification { text: STARTING, date: Timestamp(1), active: false });
        assert!(listener.news.try_recv().is_err());
        drop(listener);
        assert_eq!(notifications.listen().unwrap().current, []);
    }
}
