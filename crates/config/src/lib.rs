//! The typed, validated form of what Prometheus users write: `prometheus.yml`, scrape config
//! files, rule files and target files.
//!
//! [`Config::parse`] takes text and gives a value in which every default is filled in, every
//! global setting is inherited and every reference is checked; nothing here opens a file or a
//! socket. Field names are the keys of the file. What is wrong with a text comes back as a whole:
//! [`Error`] lists every issue with file, line, column, field and what was expected.
//!
//! How a text becomes a value: `node` reads YAML into a tree that knows the place of each of
//! its nodes, within limits; `read` and the `section!` macro take the tree apart by key; each
//! section checks itself. [`Config::to_yaml`] goes the way back, with secrets masked.
//!
//! What is understood but has no effect yet is named by [`Config::notices`]; what would change
//! which targets are scraped or which samples are sent, and is not built, is refused.
#![forbid(unsafe_code)]

mod config;
mod read;
mod section;
mod write;

pub mod alerting;
pub mod discovery;
pub mod error;
pub mod global;
pub mod http;
mod node;
pub mod otlp;
pub mod relabel;
pub mod remote;
pub mod rules;
pub mod scrape;
pub mod secret;
pub mod storage;
pub mod targets;
pub mod tracing;
pub mod web;

pub use alerting::{Alerting, AlertmanagerConfig};
pub use config::Config;
pub use discovery::{FileSd, TargetGroup};
pub use error::{Error, Issue};
pub use global::{Global, Runtime};
pub use http::HttpClient;
pub use remote::{RemoteRead, RemoteWrite};
pub use rules::{Rule, RuleGroup, Rules};
pub use scrape::ScrapeConfig;
pub use secret::{Secret, ServerUrl};
pub use storage::Storage;
pub use web::WebConfig;
