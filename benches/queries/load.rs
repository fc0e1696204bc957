//! Puts the data into a product.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use narthex_model::{Clock, Timestamp};
use narthex_store::fs::DiskFs;
use narthex_store::{Options, Row};
use parking_lot::Mutex;

use crate::data::{Data, INTERVAL_MS};
use crate::http::Connection;

/// Rows of a target in one remote-write request.
const ROWS_PER_REQUEST: usize = 40;

/// A clock that stands where it was put.
#[derive(Debug, Default)]
struct Standing(Mutex<i64>);

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        Timestamp(*self.0.lock())
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// Writes a data directory of narthex' as two days of scraping would have left it.
pub(crate) fn into_store(data: &Data, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let clock = Arc::new(Standing::default());
    let fs = Arc::new(DiskFs::new(folder)?);
    let (store, mut writer) = narthex_store::open(fs, clock.clone(), Options::default())?;
    let mut layouts = Vec::new();
    for target in &data.targets {
        let source = writer.new_source();
        let layout = writer.new_layout(source)?;
        let series: Result<Vec<_>, _> = target.labels.iter().map(|l| writer.resolve(l)).collect();
        writer.add_columns(layout, &series?)?;
        layouts.push(layout);
    }
    let mut values = Vec::new();
    for row in 0..data.rows {
        for (target, &layout) in data.targets.iter().zip(&layouts) {
            let at = Timestamp(target.at(row));
            *clock.0.lock() = at.0;
            values.clear();
            values.extend((0..target.labels.len()).map(|column| target.value(column, row)));
            writer.append(&Row { layout, at, values: &values, changed: None })?;
        }
        if row % 60 == 0 {
            store.sync()?;
            store.upkeep()?;
        }
    }
    store.close()?;
    Ok(())
}

/// Sends the data as an agent would, in order of time.
pub(crate) fn by_remote_write(data: &Data, port: u16) -> Result<()> {
    const HEADERS: &str = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n\
                           X-Prometheus-Remote-Write-Version: 0.1.0\r\n";
    let mut connection = Connection::open(port)?;
    let (mut request, mut answer) = (Vec::new(), Vec::new());
    let mut encoder = snap::raw::Encoder::new();
    for first in (0..data.rows).step_by(ROWS_PER_REQUEST) {
        let rows = first..(first + ROWS_PER_REQUEST).min(data.rows);
        for target in &data.targets {
            request.clear();
            for (column, labels) in target.labels.iter().enumerate() {
                let mut series = Vec::new();
                for (name, value) in labels {
                    let mut label = Vec::new();
                    put_bytes(&mut label, 1, name.as_bytes());
                    put_bytes(&mut label, 2, value.as_bytes());
                    put_bytes(&mut series, 1, &label);
                }
                for row in rows.clone() {
                    let mut sample = vec![0x09];
                    sample.extend_from_slice(&target.value(column, row).to_le_bytes());
                    sample.push(0x10);
                    put_varint(&mut sample, target.at(row).cast_unsigned());
                    put_bytes(&mut series, 2, &sample);
                }
                put_bytes(&mut request, 1, &series);
            }
            let body = encoder.compress_vec(&request)?;
            let status = connection.ask("POST", "/api/v1/write", HEADERS, &body, &mut answer)?;
            if status / 100 != 2 {
                bail!("refused with {status}: {}", String::from_utf8_lossy(&answer));
            }
        }
        // Leaves a server that writes its blocks beside it time to do so.
        if first * usize::try_from(INTERVAL_MS / 1000)? % 7200 == 0 {
            std::thread::sleep(Duration::from_millis(1500));
        }
    }
    Ok(())
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or(0));
}

fn put_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
