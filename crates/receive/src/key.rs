//! A series by a hash of its labels as a request holds them.

use std::hash::{BuildHasher, BuildHasherDefault, Hasher};

use narthex_model::Hashing;

/// 128 bits of two hashes with seeds of their own: what has the same key is taken for the same
/// series. The seeds are drawn at the start of the process, so nobody can choose labels that
/// collide, and chance alone needs some 10^18 series for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(u64, u64);

/// Computes keys.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    first: Hashing,
    second: Hashing,
}

impl Keys {
    /// The key of labels that stand in these bytes.
    #[inline]
    pub(crate) fn of_bytes(&self, bytes: &[u8]) -> Key {
        let hash = |hashing: &Hashing| {
            let mut hasher = hashing.build_hasher();
            hasher.write(bytes);
            hasher.finish()
        };
        Key(hash(&self.first), hash(&self.second))
    }

    /// Begins the key of a list.
    pub(crate) fn list(&self) -> ListKey {
        ListKey(self.first.build_hasher(), self.second.build_hasher())
    }
}

type Hash = <Hashing as BuildHasher>::Hasher;

/// The key of a list of keys, as it grows.
#[derive(Clone)]
pub(crate) struct ListKey(Hash, Hash);

impl ListKey {
    #[inline]
    pub(crate) fn add(&mut self, item: Key) {
        self.0.write_u64(item.0);
        self.1.write_u64(item.1);
    }

    /// The key, which is not that of any bytes.
    #[inline]
    pub(crate) fn finish(mut self) -> Key {
        self.0.write_u64(u64::MAX);
        self.1.write_u64(u64::MAX);
        Key(self.0.finish(), self.1.finish())
    }
}

/// A key is a hash already.
#[derive(Debug, Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        debug_assert!(false, "only keys are hashed");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 ^= hash;
    }
}

pub(crate) type ByKey<T> = std::collections::HashMap<Key, T, BuildHasherDefault<KeyHasher>>;
