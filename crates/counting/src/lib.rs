//! An allocator that counts, for tests of what a piece of code allocates and holds.
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: narthex_counting::Counting = narthex_counting::Counting;
//!
//! let before = narthex_counting::allocations();
//! let text = "text".to_owned();
//! assert_eq!(narthex_counting::allocations() - before, 1);
//! drop(text);
//! ```
#![expect(unsafe_code, reason = "an allocator is unsafe to implement")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<i64> = const { Cell::new(0) };
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

/// The system's allocator, counted thread by thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counting;

// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        release(layout.size());
        // SAFETY: `block` came from `alloc` or `realloc`, which are the system's.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: as for `alloc` and `dealloc`.
        unsafe { System.realloc(block, layout, size) }
    }
}

fn count(size: usize, before: usize) {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
    BYTES.set(
        BYTES.get().saturating_add_unsigned(size as u64).saturating_sub_unsigned(before as u64),
    );
    PEAK.set(PEAK.get().max(BYTES.get()));
}

fn release(size: usize) {
    BYTES.set(BYTES.get().saturating_sub_unsigned(size as u64));
}

/// How often this thread has allocated, or made an allocation larger or smaller.
pub fn allocations() -> u64 {
    ALLOCATIONS.get()
}

/// The most memory that this thread has in use, from some time on. One at a time per thread.
#[derive(Debug)]
pub struct Peak {
    before: i64,
}

impl Peak {
    /// Looks from now on.
    pub fn begin() -> Self {
        let before = BYTES.get();
        PEAK.set(before);
        Self { before }
    }

    /// How many bytes more were in use at most than in the beginning, since then or since this was
    /// asked last.
    pub fn take(&self) -> i64 {
        PEAK.replace(BYTES.get()) - self.before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;

    #[test]
    fn counts_what_is_allocated_and_what_is_held() {
        let before = allocations();
        let peak = Peak::begin();
        drop(Vec::<u8>::with_capacity(1000));
        let mut kept = Vec::<u8>::with_capacity(100);
        kept.reserve_exact(200);
        assert_eq!(allocations() - before, 3);
        assert_eq!(peak.take(), 1000);
        assert_eq!(peak.take(), 200);
        drop(kept);
        assert_eq!(peak.take(), 200);
        assert_eq!(peak.take(), 0);
    }
}
