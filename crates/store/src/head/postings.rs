//! Sorted lists of series and what is done with them.

/// The numbers in both of two rising lists.
pub(crate) fn intersect(a: &[u32], b: &[u32]) -> Vec<u32> {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let mut rest = long;
    let mut out = Vec::with_capacity(short.len());
    for &n in short {
        rest = skip_below(rest, n);
        match rest.first() {
            Some(&m) if m == n => out.push(n),
            Some(_) => {}
            None => break,
        }
    }
    out
}

/// The numbers of the rising list `a` that are not in the rising list `b`.
pub(crate) fn subtract(a: &[u32], b: &[u32]) -> Vec<u32> {
    let mut rest = b;
    let keep = |&n: &u32| {
        rest = skip_below(rest, n);
        rest.first() != Some(&n)
    };
    a.iter().copied().filter(keep).collect()
}

/// The numbers in any of the rising lists, rising, each once.
#[expect(clippy::stable_sort_primitive, reason = "only the stable sort makes use of sorted runs")]
pub(crate) fn union<'a>(lists: impl IntoIterator<Item = &'a [u32]>) -> Vec<u32> {
    let mut out = Vec::new();
    let mut lists_seen = 0;
    for list in lists {
        out.extend_from_slice(list);
        lists_seen += usize::from(!list.is_empty());
    }
    if lists_seen > 1 {
        // Runs that are sorted already merge in linear time per level: the standard stable sort
        // finds them.
        out.sort();
        out.dedup();
    }
    out
}

/// `list` from its first number that is not below `n` on; gallops, for the steps are often long.
fn skip_below(list: &[u32], n: u32) -> &[u32] {
    let mut step = 1;
    while list.get(step).is_some_and(|&m| m < n) {
        step *= 2;
    }
    let near = list.get(step / 2..).unwrap_or(&[]);
    let reach = near.len().min(step / 2 + 2);
    let skip = near.get(..reach).unwrap_or(near).partition_point(|&m| m < n);
    near.get(skip..).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn rising() -> impl Strategy<Value = Vec<u32>> {
        prop::collection::btree_set(0u32..300, 0..120).prop_map(|set| set.into_iter().collect())
    }

    proptest! {
        #[test]
        fn as_sets_do(a in rising(), b in rising(), c in rising()) {
            let set = |list: &[u32]| list.iter().copied().collect::<BTreeSet<u32>>();
            let (x, y, z) = (set(&a), set(&b), set(&c));
            prop_assert_eq!(set(&intersect(&a, &b)), &x & &y);
            prop_assert_eq!(subtract(&a, &b), (&x - &y).into_iter().collect::<Vec<_>>());
            let all: Vec<u32> = (&(&x | &y) | &z).into_iter().collect();
            prop_assert_eq!(union([&a[..], &b[..], &c[..]]), all);
        }
    }
}
