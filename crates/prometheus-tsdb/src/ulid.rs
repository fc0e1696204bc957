//! Names of blocks: 48 bits of time and 80 random ones, in an alphabet that sorts.

/// Digits without those that look like others.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Length of a name.
const LEN: usize = 26;

/// The name made of a time in milliseconds since 1970 and 80 bits of `random`.
pub fn ulid(at_ms: i64, random: u128) -> String {
    let time = u128::from(at_ms.max(0).cast_unsigned() & 0xffff_ffff_ffff);
    let bits = time << 80 | (random & ((1 << 80) - 1));
    let digit = |position: usize| {
        let shift = 5 * (LEN - 1 - position);
        let index = usize::try_from(bits >> shift & 31).unwrap_or(0);
        char::from(DIGITS.get(index).copied().unwrap_or(b'0'))
    };
    (0..LEN).map(digit).collect()
}

/// Whether a folder of this name is a block.
pub fn is_ulid(name: &str) -> bool {
    name.len() == LEN && name.bytes().all(|byte| DIGITS.contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_time() {
        assert_eq!(ulid(1_469_922_850_259, 0), "01ARZ3NDEK0000000000000000");
        assert_eq!(ulid(0, u128::MAX), "0000000000ZZZZZZZZZZZZZZZZ");
        assert!(ulid(1000, 5) < ulid(1001, 4));
        assert!(is_ulid(&ulid(1_795_000_000_000, 12_345)));
        assert!(!is_ulid("chunks_head") && !is_ulid("01ARZ3NDEK000000000000000l"));
    }
}
