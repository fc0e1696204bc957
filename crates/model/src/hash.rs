//! The hash of all in-memory tables: fast on processors without AES instructions, and seeded for
//! each process, so that nobody outside can choose labels that collide. Never stored: what is on
//! disk uses a hash with a specification.

use std::hash::BuildHasher;

use foldhash::fast::{FoldHasher, RandomState};

/// Makes hashers for `HashMap` and `HashSet`. In debug builds every hash is counted, so that a
/// test can tell that a path needs none: see [`count`].
#[derive(Clone, Debug, Default)]
pub struct Hashing(RandomState);

impl BuildHasher for Hashing {
    type Hasher = FoldHasher<'static>;

    #[inline]
    fn build_hasher(&self) -> Self::Hasher {
        #[cfg(debug_assertions)]
        counter::COUNT.with(|count| count.set(count.get() + 1));
        self.0.build_hasher()
    }
}

#[cfg(debug_assertions)]
mod counter {
    use std::cell::Cell;

    thread_local! {
        pub(super) static COUNT: Cell<u64> = const { Cell::new(0) };
    }
}

/// How many hashes this thread has computed so far. Only debug builds count.
#[cfg(debug_assertions)]
pub fn count() -> u64 {
    counter::COUNT.with(std::cell::Cell::get)
}
