//! How much memory the program may use: what the machine has, or what its control group allows.

use std::fs;

/// A query may hold this share of the memory.
const QUERY_SHARE: u64 = 4;

/// Limits of what a query may hold, whatever the machine has.
const QUERY_BYTES_MIN: u64 = 64 << 20;
const QUERY_BYTES_MAX: u64 = 1 << 30;

/// The most memory that one query may hold, in bytes.
pub fn query_bytes_max() -> usize {
    let bytes = available().map_or(QUERY_BYTES_MAX, |bytes| bytes / QUERY_SHARE);
    let bytes = bytes.clamp(QUERY_BYTES_MIN, QUERY_BYTES_MAX);
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// The lesser of the machine's memory and the limit of the control group, in bytes.
fn available() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
    });
    // Inside a container the group's own files stand at the root: version 2, then version 1.
    let group = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let group = group.iter().find_map(|path| {
        fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u64>().ok())
    });
    machine.into_iter().chain(group).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_gets_a_sensible_share() {
        let bytes = query_bytes_max() as u64;
        assert!((QUERY_BYTES_MIN..=QUERY_BYTES_MAX).contains(&bytes));
    }
}
