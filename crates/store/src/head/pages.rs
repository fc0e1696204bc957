//! A table from numbers to things, for numbers that only grow and whose old ones die out.

/// Slots of a page: small, so that a lone survivor of old times holds little.
const PAGE_SLOTS: u32 = 64;

/// Maps numbers to `T`. Costs a pointer per 64 numbers ever used, besides the living pages.
#[derive(Debug)]
pub(crate) struct Pages<T> {
    pages: Vec<Option<Box<Page<T>>>>,
    live: usize,
}

#[derive(Debug)]
struct Page<T> {
    live: u32,
    slots: [Option<T>; PAGE_SLOTS as usize],
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), live: 0 }
    }
}

impl<T> Pages<T> {
    /// How many numbers are in use.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// What `number` names.
    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        let page = self.pages.get((number / PAGE_SLOTS) as usize)?.as_ref()?;
        page.slots.get((number % PAGE_SLOTS) as usize)?.as_ref()
    }

    /// What `number` names, to be changed.
    #[inline]
    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let page = self.pages.get_mut((number / PAGE_SLOTS) as usize)?.as_mut()?;
        page.slots.get_mut((number % PAGE_SLOTS) as usize)?.as_mut()
    }

    /// Names `item` by `number`; gives back what had the number before.
    pub(crate) fn insert(&mut self, number: u32, item: T) -> Option<T> {
        let index = (number / PAGE_SLOTS) as usize;
        if index >= self.pages.len() {
            self.pages.resize_with(index + 1, || None);
        }
        let page = self.pages.get_mut(index)?.get_or_insert_with(|| {
            Box::new(Page { live: 0, slots: std::array::from_fn(|_| None) })
        });
        let slot = page.slots.get_mut((number % PAGE_SLOTS) as usize)?;
        let old = slot.replace(item);
        if old.is_none() {
            page.live += 1;
            self.live += 1;
        }
        old
    }

    /// Takes out what `number` names.
    pub(crate) fn remove(&mut self, number: u32) -> Option<T> {
        let place = self.pages.get_mut((number / PAGE_SLOTS) as usize)?;
        let page = place.as_mut()?;
        let item = page.slots.get_mut((number % PAGE_SLOTS) as usize)?.take()?;
        page.live -= 1;
        self.live -= 1;
        if page.live == 0 {
            *place = None;
        }
        Some(item)
    }

    /// All numbers in use with what they name, rising.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0u32..).zip(&self.pages).flat_map(|(index, page)| {
            let slots = page.as_ref().map(|page| page.slots.iter()).into_iter().flatten();
            (index * PAGE_SLOTS..).zip(slots).filter_map(|(n, slot)| Some((n, slot.as_ref()?)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_and_go() {
        let mut pages = Pages::default();
        for n in [0, 1, 63, 64, 5000] {
            assert_eq!(pages.insert(n, n * 2), None);
        }
        assert_eq!(pages.insert(64, 7), Some(128));
        assert_eq!(pages.len(), 5);
        assert_eq!(pages.get(5000), Some(&10_000));
        assert_eq!(pages.get(5001), None);
        assert_eq!(pages.get(1 << 30), None);
        assert_eq!(pages.remove(63), Some(126));
        assert_eq!(pages.remove(63), None);
        let all: Vec<_> = pages.iter().map(|(n, &v)| (n, v)).collect();
        assert_eq!(all, [(0, 0), (1, 2), (64, 7), (5000, 10_000)]);
    }
}
