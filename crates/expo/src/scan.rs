//! Byte scanning in wide steps, without unsafe code: fixed-size blocks compare as vectors.

/// Bytes per step of [`common_prefix`].
const WIDE: usize = 64;
const HALF: usize = WIDE / 2;

/// How many leading bytes of `a` and `b` are equal.
#[inline]
#[expect(
    clippy::needless_bitwise_bool,
    reason = "with one branch for both halves the compiler joins the vectors before it tests them"
)]
pub(crate) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let (wide_a, _) = a.as_chunks::<WIDE>();
    let (wide_b, _) = b.as_chunks::<WIDE>();
    let mut at = 0;
    for (x, y) in wide_a.iter().zip(wide_b) {
        let ([x0, x1], [y0, y1]) = (halves(x), halves(y));
        if (x0 != y0) | (x1 != y1) {
            break;
        }
        at += WIDE;
    }
    let (rest_a, rest_b) = (a.get(at..).unwrap_or_default(), b.get(at..).unwrap_or_default());
    at + short_prefix(rest_a, rest_b)
}

#[inline]
fn halves(block: &[u8; WIDE]) -> [&[u8; HALF]; 2] {
    match block.as_chunks().0 {
        [first, second] => [first, second],
        _ => [&[0; HALF]; 2],
    }
}

/// [`common_prefix`] for what is left: eight bytes at a time, then single ones.
#[inline]
fn short_prefix(a: &[u8], b: &[u8]) -> usize {
    let (words_a, _) = a.as_chunks::<8>();
    let (words_b, _) = b.as_chunks::<8>();
    let mut at = 0;
    for (x, y) in words_a.iter().zip(words_b) {
        let differ = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if differ != 0 {
            return at + (differ.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let tail = a.iter().skip(at).zip(b.iter().skip(at));
    at + tail.take_while(|(x, y)| x == y).count()
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Where `needle` stands first in `haystack`.
#[inline]
pub(crate) fn find(haystack: &[u8], needle: u8) -> Option<usize> {
    let pattern = ONES.wrapping_mul(u64::from(needle));
    let (words, tail) = haystack.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let zero_where_equal = u64::from_le_bytes(*word) ^ pattern;
        let found = zero_where_equal.wrapping_sub(ONES) & !zero_where_equal & HIGHS;
        if found != 0 {
            return Some(index * 8 + (found.trailing_zeros() / 8) as usize);
        }
    }
    let at = tail.iter().position(|&byte| byte == needle)?;
    Some(haystack.len() - tail.len() + at)
}

/// Where `first` or `second` stands first in `haystack`.
#[inline]
pub(crate) fn find_either(haystack: &[u8], first: u8, second: u8) -> Option<usize> {
    let pattern_a = ONES.wrapping_mul(u64::from(first));
    let pattern_b = ONES.wrapping_mul(u64::from(second));
    let (words, tail) = haystack.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let (a, b) = (word ^ pattern_a, word ^ pattern_b);
        let found = ((a.wrapping_sub(ONES) & !a) | (b.wrapping_sub(ONES) & !b)) & HIGHS;
        if found != 0 {
            return Some(index * 8 + (found.trailing_zeros() / 8) as usize);
        }
    }
    let at = tail.iter().position(|&byte| byte == first || byte == second)?;
    Some(haystack.len() - tail.len() + at)
}

/// Just after the next newline from `at` on, or the end of `body`.
pub(crate) fn line_end(body: &[u8], at: usize) -> usize {
    let rest = body.get(at..).unwrap_or_default();
    find(rest, b'\n').map_or(body.len(), |newline| at + newline + 1)
}

/// The first place from `at` on that is neither a space nor a tab.
#[inline]
pub(crate) fn skip_blanks(body: &[u8], mut at: usize) -> usize {
    while matches!(body.get(at), Some(b' ' | b'\t')) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn wide_steps_see_what_single_ones_see(
            mut a in proptest::collection::vec(0u8..3, 0..200),
            cut in 0usize..200,
            flip in 0usize..200,
        ) {
            let mut b = a.clone();
            b.truncate(cut);
            if let Some(byte) = b.get_mut(flip) {
                *byte ^= 0x80;
            }
            let naive = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
            prop_assert_eq!(common_prefix(&a, &b), naive);
            prop_assert_eq!(common_prefix(&b, &a), naive);
            a.push(b'\n');
            for needle in [0, 1, 0x80, b'\n'] {
                prop_assert_eq!(find(&a, needle), a.iter().position(|&x| x == needle));
                prop_assert_eq!(find(&b, needle), b.iter().position(|&x| x == needle));
            }
            let either = b.iter().position(|&x| x == 2 || x == 0x81);
            prop_assert_eq!(find_either(&b, 2, 0x81), either);
        }
    }
}
