//! The configuration that is used when there is none: narthex watches itself, and the
//! `node_exporter` of this machine once that answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use narthex_net::{Client, Dial, Request, StatusCode, Url};

/// Where a `node_exporter` would be.
const NODE_URL: &str = "http://localhost:9100/metrics";

/// Longest wait for its answer.
const NODE_TIMEOUT: Duration = Duration::from_secs(2);

/// Largest answer that is taken.
const NODE_BYTES_MAX: usize = 16 << 20;

/// The configuration file's text. `own` is the address that the server listens on.
pub fn yaml(own: SocketAddr, route_prefix: &str, node: bool) -> String {
    let own = match own.ip() {
        ip if ip.is_unspecified() => format!("localhost:{}", own.port()),
        _ => own.to_string(),
    };
    let mut text = format!(
        "global:\n  scrape_interval: 5s\n  scrape_timeout: 5s\nscrape_configs:\n\
         - job_name: narthex\n  metrics_path: '{route_prefix}/metrics'\n  \
         static_configs:\n  - targets: ['{own}']\n"
    );
    if node {
        text.push_str("- job_name: node\n  static_configs:\n  - targets: ['localhost:9100']\n");
    }
    text
}

/// Whether a `node_exporter` answers on this machine.
pub async fn node_answers(dial: Arc<dyn Dial>) -> bool {
    let Ok(url) = Url::parse(NODE_URL) else { return false };
    let mut body = Vec::new();
    let mut session = Client::plain(dial).session(&url);
    let request = Request::get(&[], NODE_TIMEOUT, NODE_BYTES_MAX);
    match session.send(&request, &mut body).await {
        Ok(head) => {
            head.status == StatusCode::OK
                && body.windows(NODE_MARK.len()).any(|window| window == NODE_MARK)
        }
        Err(_) => false,
    }
}

/// A family that every `node_exporter` has.
const NODE_MARK: &[u8] = b"node_exporter_build_info";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_its_own_address() {
        let text = yaml("0.0.0.0:9090".parse().unwrap(), "/p", false);
        assert!(text.contains("'/p/metrics'"));
        assert!(text.contains("targets: ['localhost:9090']"));
        assert!(!text.contains("9100"));
        let text = yaml("127.0.0.1:1234".parse().unwrap(), "", true);
        assert!(text.contains("targets: ['127.0.0.1:1234']"));
        assert!(text.contains("9100"));
    }

    #[tokio::test]
    async fn nobody_answers_on_an_empty_network() {
        assert!(!node_answers(Arc::new(narthex_net::dial::Memory::new())).await);
    }
}
