//! The process as the kernel sees it.

use std::fs;

use narthex_model::Timestamp;

use super::text::Page;

/// The kernel's unit for processor time in `/proc`, per second: 100 on every processor that the
/// program is built for.
const TICKS_PER_SECOND: f64 = 100.0;

/// Writes the `process_*` figures; where there is no `/proc`, only those that need none.
pub(super) fn render(page: &mut Page, started: Timestamp) {
    page.gauge(
        "process_start_time_seconds",
        "Start time of the process since unix epoch in seconds.",
        started.seconds(),
    );
    if let Some(seconds) = cpu_seconds() {
        page.family(
            "process_cpu_seconds_total",
            "counter",
            "Total user and system CPU time spent in seconds.",
        )
        .put("", &[], seconds);
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bytes = |field| kilobytes(&status, field).map(|kib| kib * 1024.0);
    let memory = [
        ("process_resident_memory_bytes", "Resident memory size in bytes.", bytes("VmRSS:")),
        ("process_virtual_memory_bytes", "Virtual memory size in bytes.", bytes("VmSize:")),
        ("narthex_anonymous_memory_bytes", "Memory without a file behind it.", bytes("RssAnon:")),
        ("narthex_peak_memory_bytes", "Largest resident memory so far.", bytes("VmHWM:")),
        ("process_open_fds", "Number of open file descriptors.", open_files()),
        ("process_max_fds", "Maximum number of open file descriptors.", open_files_max()),
    ];
    for (name, help, value) in memory {
        if let Some(value) = value {
            page.gauge(name, help, value);
        }
    }
    if let Some((received, sent)) = network_bytes() {
        let name = "process_network_receive_bytes_total";
        page.counter(name, "Number of bytes received by the process over the network.", received);
        let name = "process_network_transmit_bytes_total";
        page.counter(name, "Number of bytes sent by the process over the network.", sent);
    }
    if let Some(written) = bytes_written() {
        let name = "narthex_storage_written_bytes_total";
        page.counter(name, "Bytes that the process caused to be written to storage.", written);
    }
}

fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the name in brackets and may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

fn kilobytes(status: &str, field: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[expect(clippy::cast_precision_loss, reason = "a number of files")]
fn open_files() -> Option<f64> {
    Some(fs::read_dir("/proc/self/fd").ok()?.count() as f64)
}

fn open_files_max() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn network_bytes() -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/self/net/netstat").ok()?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("IpExt: "));
    let (names, values) = (lines.next()?, lines.next()?);
    let value = |name| {
        let at = names.split(' ').position(|have| have == name)?;
        values.split(' ').nth(at)?.parse().ok()
    };
    Some((value("InOctets")?, value("OutOctets")?))
}

fn bytes_written() -> Option<u64> {
    let io = fs::read_to_string("/proc/self/io").ok()?;
    io.lines().find_map(|line| line.strip_prefix("write_bytes: "))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn reads_the_kernels_figures() {
        assert!(cpu_seconds().unwrap() >= 0.0);
        let status = fs::read_to_string("/proc/self/status").unwrap();
        assert!(kilobytes(&status, "VmRSS:").unwrap() > 100.0);
        assert!(open_files().unwrap() >= 3.0);
        assert!(open_files_max().unwrap() >= 3.0);
    }
}
