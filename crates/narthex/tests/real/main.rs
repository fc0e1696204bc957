//! The real program against real exporters, receivers and a real Prometheus.
//!
//! One binary, so that these slow tests run beside each other. A test whose peer is not installed
//! says so on stderr and ends; `NARTHEX_PEERS` names the folder with their programs, and with
//! `NARTHEX_PEERS_REQUIRED` a missing one is a failure.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail by panic, and touches files and processes itself"
)]

mod a_full_disk_is_survived;
mod a_kill_loses_nothing_that_was_shown;
mod a_stopped_receiver_and_a_killed_sender_lose_nothing;
mod an_outage_of_the_receiver_loses_nothing;
mod answers_equal_those_of_prometheus;
mod any_byte_in_a_url_is_answered_as_by_prometheus;
mod classic_histograms_become_native_as_in_prometheus;
mod errors_equal_those_of_prometheus;
mod exemplars_equal_those_of_prometheus;
mod exporter;
mod federation_hands_on_what_prometheus_does;
mod forwarded_samples_equal_kept_ones;
mod grafana_sees_what_prometheus_shows;
mod logs_equal_those_of_prometheus;
mod node;
mod otlp_is_read_as_by_other_software;
mod prometheus_reads_from_narthex;
mod receivers_in_trouble_get_everything;
mod series_and_staleness_equal_those_of_prometheus;
mod statistics_equal_those_of_prometheus;
mod the_remote_commands_tell_and_repair;
mod the_way_in_and_out_keeps_every_sample;
mod writes_are_answered_as_by_prometheus;
