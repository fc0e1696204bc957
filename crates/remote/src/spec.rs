//! From a section of the configuration to a queue.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use narthex_config::{RemoteWrite, remote};
use narthex_model::Labels;
use narthex_net::{Client, Dial, HeaderName, HeaderValue, Session};

use crate::compose::Version;
use crate::error::Error;
use crate::prepare::Prepare;
use crate::queue::Settings;
use crate::stats::QueueStats;

/// A queue that is ready to be started.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) settings: Settings,
    pub(crate) session: Session,
    /// The figures that come from the configuration.
    pub(crate) fixed: QueueStats,
}

impl Spec {
    pub(crate) fn new(
        section: &RemoteWrite,
        external: &Labels,
        cursor: String,
        base_dir: &Path,
        dial: &Arc<dyn Dial>,
    ) -> Result<Self, Error> {
        let name = section.queue_name();
        let Some(url) = &section.url else { return Err(Error::NoUrl { name }) };
        let client = Client::new(&section.http_client, base_dir, Arc::clone(dial))
            .map_err(|source| Error::Client { name: name.clone(), source })?;
        let queue = &section.queue_config;
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).max(1);
        let metadata = &section.metadata_config;
        let settings = Settings {
            name: name.clone(),
            url: url.to_string(),
            cursor,
            headers: headers(section, &name)?,
            version: match section.protobuf_message.as_str() {
                remote::WRITE_REQUEST_V2 => Version::V2,
                _ => Version::V1,
            },
            prepare: Prepare {
                external: external.clone(),
                rules: section.write_relabel_configs.clone(),
                histograms: section.send_native_histograms,
            },
            timeout: section.remote_timeout,
            samples_max: count(queue.max_samples_per_send),
            batch_deadline: queue.batch_send_deadline,
            backoff_min: queue.min_backoff,
            backoff_max: queue.max_backoff,
            age_max: Some(queue.sample_age_limit).filter(|&age| age > Duration::ZERO),
            exemplars: section.send_exemplars,
            live_first: section.send_order == remote::SEND_ORDER_LIVE_FIRST,
            metadata: metadata
                .send
                .then(|| (metadata.send_interval, count(metadata.max_samples_per_send))),
        };
        let fixed = QueueStats {
            name,
            url: settings.url.clone(),
            shards: 1,
            shards_max: queue.max_shards,
            shards_min: queue.min_shards,
            shard_capacity: queue.capacity,
            max_samples_per_send: queue.max_samples_per_send,
            ..QueueStats::default()
        };
        Ok(Self { settings, session: client.session(url.expose()), fixed })
    }

    /// The cursor's name.
    pub(crate) fn cursor(&self) -> &str {
        &self.settings.cursor
    }
}

/// The headers that the configuration adds to every request.
fn headers(section: &RemoteWrite, queue: &str) -> Result<Vec<(HeaderName, HeaderValue)>, Error> {
    let mut headers = Vec::new();
    for (name, value) in &section.headers {
        let header = HeaderName::from_bytes(name.as_bytes()).ok();
        let value = HeaderValue::from_str(value.expose()).ok();
        let Some((header, mut value)) = header.zip(value) else {
            return Err(Error::Header { name: queue.to_owned(), header: name.clone() });
        };
        value.set_sensitive(true);
        headers.push((header, value));
    }
    Ok(headers)
}
