//! Decompression of bodies, bounded.

use std::cell::RefCell;

use flate2::{Crc, Decompress, FlushDecompress, Status};

use crate::error::{Error, Failure};

/// Output up to this size is never called a bomb.
const RATIO_FREE_BYTES: usize = 1 << 20;

/// Beyond [`RATIO_FREE_BYTES`], how many bytes one compressed byte may become.
const RATIO_MAX: usize = 100;

/// Room made for output at a time.
const STEP_BYTES: usize = 32 << 10;

thread_local! {
    /// One state per thread serves all sessions: an exchange is inflated in one go.
    static STATE: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}

/// Inflates the gzip members in `wire`, appending to `out`, which may grow to `bytes_max`.
pub(crate) fn gunzip(wire: &[u8], out: &mut Vec<u8>, bytes_max: usize) -> Result<(), Error> {
    let mut rest = wire;
    let ratio_max = wire.len().saturating_mul(RATIO_MAX).max(RATIO_FREE_BYTES);
    loop {
        let header = header_len(rest).ok_or_else(|| bad("gzip: invalid header"))?;
        let data = rest.get(header..).unwrap_or_default();
        let start = out.len();
        let used =
            STATE.with_borrow_mut(|state| inflate(state, data, out, bytes_max.min(ratio_max)))?;
        let mut crc = Crc::new();
        crc.update(out.get(start..).unwrap_or_default());
        let (sum, tail) = data
            .get(used..)
            .and_then(<[u8]>::split_first_chunk::<8>)
            .ok_or(Error::Body(Failure::UnexpectedEof))?;
        let [a, b, c, d, lens @ ..] = *sum;
        #[expect(clippy::cast_possible_truncation, reason = "the format holds the low 32 bits")]
        let len = (out.len() - start) as u32;
        if u32::from_le_bytes([a, b, c, d]) != crc.sum() || u32::from_le_bytes(lens) != len {
            return Err(bad("gzip: invalid checksum"));
        }
        if tail.is_empty() {
            return Ok(());
        }
        rest = tail;
    }
}

/// Inflates one deflate stream; returns how much of `data` it took.
fn inflate(
    state: &mut Decompress,
    data: &[u8],
    out: &mut Vec<u8>,
    bytes_max: usize,
) -> Result<usize, Error> {
    state.reset(false);
    loop {
        if out.capacity() - out.len() < STEP_BYTES {
            out.reserve(STEP_BYTES);
        }
        let used = usize::try_from(state.total_in()).unwrap_or(usize::MAX);
        let before = out.len();
        let input = data.get(used..).unwrap_or_default();
        let status = state.decompress_vec(input, out, FlushDecompress::None);
        if out.len() > bytes_max {
            return Err(Error::BodyTooLarge);
        }
        let used_now = usize::try_from(state.total_in()).unwrap_or(usize::MAX);
        match status {
            Ok(Status::StreamEnd) => return Ok(used_now),
            Ok(_) if used_now == used && out.len() == before => {
                return Err(Error::Body(Failure::UnexpectedEof));
            }
            Ok(_) => {}
            Err(_) => return Err(bad(&format!("flate: corrupt input before offset {used_now}"))),
        }
    }
}

/// The length of the gzip header at the start of `bytes`; `None` when it is not one.
fn header_len(bytes: &[u8]) -> Option<usize> {
    let (&[0x1f, 0x8b, 8, flags, ..], mut rest) = bytes.split_first_chunk::<10>()? else {
        return None;
    };
    if flags & 0xe0 != 0 {
        return None;
    }
    if flags & 4 != 0 {
        let (len, tail) = rest.split_first_chunk::<2>()?;
        rest = tail.get(usize::from(u16::from_le_bytes(*len))..)?;
    }
    for flag in [8, 16] {
        if flags & flag != 0 {
            let end = rest.iter().position(|&byte| byte == 0)?;
            rest = rest.get(end + 1..)?;
        }
    }
    if flags & 2 != 0 {
        rest = rest.get(2..)?;
    }
    Some(bytes.len() - rest.len())
}

fn bad(text: &str) -> Error {
    Error::Body(Failure::Decode(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::GzBuilder::new()
            .filename("name")
            .comment("c")
            .extra(vec![1, 2, 3])
            .write(Vec::new(), flate2::Compression::default());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn inflates_members_and_checks_them() {
        let body: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
        let mut wire = gzip(&body);
        let mut out = Vec::new();
        gunzip(&wire, &mut out, usize::MAX).unwrap();
        assert_eq!(out, body);
        wire.extend_from_slice(&gzip(b"more"));
        out.clear();
        gunzip(&wire, &mut out, usize::MAX).unwrap();
        assert_eq!(out.len(), body.len() + 4);
        for cut in 0..wire.len().min(300) {
            out.clear();
            assert!(gunzip(&wire[..cut], &mut out, usize::MAX).is_err(), "{cut}");
        }
        let at = wire.len() - 6;
        wire[at] ^= 1;
        out.clear();
        assert!(gunzip(&wire, &mut out, usize::MAX).is_err());
    }

    #[test]
    fn stops_at_the_limit_and_at_bombs() {
        let wire = gzip(&vec![0; 100_000]);
        let mut out = Vec::new();
        assert!(gunzip(&wire, &mut out, 99_999).unwrap_err().is_body_limit());
        out.clear();
        gunzip(&wire, &mut out, 100_000).unwrap();
        let bomb = gzip(&vec![0; 64 << 20]);
        out.clear();
        assert!(gunzip(&bomb, &mut out, usize::MAX).unwrap_err().is_body_limit());
        assert!(out.capacity() < 16 << 20);
    }
}
