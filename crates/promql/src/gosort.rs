//! Go's sorting algorithm, which Prometheus orders the elements of a vector with.
//!
//! It is not stable, so which of two equal elements comes first follows from its steps: a
//! pattern-defeating quicksort with fixed seeds. The same steps give the same order, also where
//! the comparison contradicts itself (NaN precedes NaN, a label without a value precedes nothing).

/// Ranges up to this length are sorted by insertion.
const INSERTION_MAX: usize = 12;

/// From this length on the pivot is the median of medians, and a few misplaced elements are moved.
const LONG: usize = 50;

/// Most misplaced neighbours that are put right one by one.
const MISPLACED_MAX: usize = 5;

/// Most exchanges while a pivot is chosen: then the range descends.
const SWAPS_MAX: usize = 12;

/// Sorts `items` so that none is `less` than the one before it.
pub(crate) fn sort<T>(items: &mut [T], less: impl Fn(&T, &T) -> bool) {
    let len = items.len();
    if len > 1 {
        Sorter { items, less }.range(0, len, usize::BITS - len.leading_zeros());
    }
}

struct Sorter<'a, T, F> {
    items: &'a mut [T],
    less: F,
}

/// What choosing the pivot told of the order of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pattern {
    Unknown,
    Ascending,
    Descending,
}

impl<T, F: Fn(&T, &T) -> bool> Sorter<'_, T, F> {
    fn less(&self, a: usize, b: usize) -> bool {
        match (self.items.get(a), self.items.get(b)) {
            (Some(a), Some(b)) => (self.less)(a, b),
            _ => false,
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.items.swap(a, b);
    }

    /// Sorts from `start` to before `end`; after `bad_max` bad pivots as a heap.
    fn range(&mut self, mut start: usize, mut end: usize, mut bad_max: u32) {
        let (mut balanced, mut partitioned) = (true, true);
        loop {
            let len = end - start;
            if len <= INSERTION_MAX {
                return self.insertion(start, end);
            }
            if bad_max == 0 {
                return self.heap(start, end);
            }
            if !balanced {
                self.break_patterns(start, end);
                bad_max -= 1;
            }
            let (mut pivot, mut pattern) = self.choose_pivot(start, end);
            if pattern == Pattern::Descending {
                self.items.get_mut(start..end).unwrap_or(&mut []).reverse();
                pivot = (end - 1) - (pivot - start);
                pattern = Pattern::Ascending;
            }
            let sorted = balanced && partitioned && pattern == Pattern::Ascending;
            if sorted && self.few_insertions(start, end) {
                return;
            }
            if start > 0 && !self.less(start - 1, pivot) {
                // The pivot is the least: what equals it is in its place.
                start = self.part_equal(start, end, pivot);
                continue;
            }
            let middle;
            (middle, partitioned) = self.part(start, end, pivot);
            let (left, right) = (middle - start, end - middle);
            balanced = left.min(right) >= len / 8;
            if left < right {
                self.range(start, middle, bad_max);
                start = middle + 1;
            } else {
                self.range(middle + 1, end, bad_max);
                end = middle;
            }
        }
    }

    fn insertion(&mut self, start: usize, end: usize) {
        for index in start + 1..end {
            self.sink(index, start);
        }
    }

    /// Moves the element at `index` towards `floor` as long as it is less than the one before it.
    fn sink(&mut self, mut index: usize, floor: usize) {
        while index > floor && self.less(index, index - 1) {
            self.swap(index, index - 1);
            index -= 1;
        }
    }

    fn heap(&mut self, start: usize, end: usize) {
        let len = end - start;
        for root in (0..=(len - 1) / 2).rev() {
            self.sift(root, len, start);
        }
        for last in (0..len).rev() {
            self.swap(start, start + last);
            self.sift(0, last, start);
        }
    }

    fn sift(&mut self, mut root: usize, len: usize, start: usize) {
        loop {
            let mut child = 2 * root + 1;
            if child >= len {
                return;
            }
            if child + 1 < len && self.less(start + child, start + child + 1) {
                child += 1;
            }
            if !self.less(start + root, start + child) {
                return;
            }
            self.swap(start + root, start + child);
            root = child;
        }
    }

    /// Exchanges three elements in the middle with ones from anywhere.
    fn break_patterns(&mut self, start: usize, end: usize) {
        let len = end - start;
        if len < 8 {
            return;
        }
        let mut random = len as u64;
        let mask = (1_usize << (usize::BITS - len.leading_zeros())) - 1;
        let middle = start + (len / 4) * 2 - 1;
        for index in 0..3 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let other = usize::try_from(random & mask as u64).unwrap_or(0);
            let other = if other >= len { other - len } else { other };
            self.swap(middle - 1 + index, start + other);
        }
    }

    fn choose_pivot(&self, start: usize, end: usize) -> (usize, Pattern) {
        let len = end - start;
        let mut swaps = 0;
        let [mut low, mut middle, mut high] = [1, 2, 3].map(|part| start + len / 4 * part);
        if len >= 8 {
            if len >= LONG {
                for place in [&mut low, &mut middle, &mut high] {
                    *place = self.median([*place - 1, *place, *place + 1], &mut swaps);
                }
            }
            middle = self.median([low, middle, high], &mut swaps);
        }
        let pattern = match swaps {
            0 => Pattern::Ascending,
            SWAPS_MAX => Pattern::Descending,
            _ => Pattern::Unknown,
        };
        (middle, pattern)
    }

    fn median(&self, [mut a, mut b, mut c]: [usize; 3], swaps: &mut usize) -> usize {
        let mut order = |a: &mut usize, b: &mut usize| {
            if self.less(*b, *a) {
                *swaps += 1;
                std::mem::swap(a, b);
            }
        };
        order(&mut a, &mut b);
        order(&mut b, &mut c);
        order(&mut a, &mut b);
        b
    }

    /// Puts a few misplaced neighbours right; whether the range is sorted then.
    fn few_insertions(&mut self, start: usize, end: usize) -> bool {
        let mut index = start + 1;
        for _ in 0..MISPLACED_MAX {
            while index < end && !self.less(index, index - 1) {
                index += 1;
            }
            if index == end {
                return true;
            }
            if end - start < LONG {
                return false;
            }
            self.swap(index, index - 1);
            if index - start >= 2 {
                self.sink(index - 1, 0);
            }
            if end - index >= 2 {
                for next in index + 1..end {
                    if !self.less(next, next - 1) {
                        break;
                    }
                    self.swap(next, next - 1);
                }
            }
        }
        false
    }

    /// Puts what is less than the pivot before it and the rest behind; gives its place, and whether
    /// nothing had to be moved.
    fn part(&mut self, start: usize, end: usize, pivot: usize) -> (usize, bool) {
        self.swap(start, pivot);
        let (mut low, mut high) = (start + 1, end - 1);
        let mut moved = false;
        loop {
            while low <= high && self.less(low, start) {
                low += 1;
            }
            while low <= high && !self.less(high, start) {
                high -= 1;
            }
            if low > high {
                self.swap(high, start);
                return (high, !moved);
            }
            self.swap(low, high);
            moved = true;
            low += 1;
            high -= 1;
        }
    }

    /// Puts what equals the pivot, the least, before the rest; gives where the rest begins.
    fn part_equal(&mut self, start: usize, end: usize, pivot: usize) -> usize {
        self.swap(start, pivot);
        let (mut low, mut high) = (start + 1, end - 1);
        loop {
            while low <= high && !self.less(start, low) {
                low += 1;
            }
            while low <= high && self.less(start, high) {
                high -= 1;
            }
            if low > high {
                return low;
            }
            self.swap(low, high);
            low += 1;
            high -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(len: usize, kinds: u64) -> Vec<u64> {
        let mut seed = 3_u64;
        let next = |_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
            (seed >> 33) % kinds
        };
        (0..len).map(next).collect()
    }

    #[test]
    fn sorts_what_is_long_short_even_or_nearly_sorted() {
        for len in [0, 1, 2, 12, 13, 49, 50, 200, 3000] {
            for kinds in [1, 3, 1000] {
                for shape in 0..3 {
                    let mut items = random(len, kinds);
                    match shape {
                        1 => items.sort_unstable(),
                        2 => items.sort_unstable_by(|a, b| b.cmp(a)),
                        _ => {}
                    }
                    let mut want = items.clone();
                    want.sort_unstable();
                    sort(&mut items, |a, b| a < b);
                    assert_eq!(items, want, "{len} of {kinds} in shape {shape}");
                }
            }
        }
    }

    #[test]
    fn short_ranges_keep_the_order_of_equals() {
        let mut items: Vec<_> = random(12, 3).into_iter().zip(0..).collect();
        let mut want = items.clone();
        want.sort_by_key(|&(key, _)| key);
        sort(&mut items, |a, b| a.0 < b.0);
        assert_eq!(items, want);
    }
}
