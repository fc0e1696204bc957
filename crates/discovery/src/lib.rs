//! Keeps the list of targets true: what the configuration lists, and what target files list.
//!
//! [`Manager::apply`] takes the jobs; [`Manager::watch`] gives, per job, a channel that always
//! holds the whole of its groups. Only a change is published. The channel of a job lives as long
//! as the job's name is configured: who follows it keeps following over reloads.
//!
//! Target files are looked at every few seconds ([`POLL_INTERVAL`](manager::POLL_INTERVAL)): a
//! stat call each, which also works where notifications do not (network and overlay mounts). A
//! file that cannot be read or is not right keeps the groups that it had last; a file that is
//! gone takes its groups with it.
#![forbid(unsafe_code)]

pub mod glob;
pub mod group;
pub mod manager;
pub mod stats;
mod watch;

pub use group::Group;
pub use manager::Manager;
pub use stats::Stats;
