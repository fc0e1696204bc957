//! Files shown as memory: the store's unsafe code but for one call in `heap`.
#![expect(unsafe_code, reason = "mapping a file is unsafe by nature; the invariant is below")]

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

use memmap2::Mmap;

/// The bytes of a whole immutable file, mapped or held in memory. Clones share them; a mapped
/// file stays readable after it was removed, until the last clone is gone.
#[derive(Clone, Debug)]
pub struct FileView(Bytes);

#[derive(Clone, Debug)]
enum Bytes {
    Mapped(Arc<Mmap>),
    Owned(Arc<[u8]>),
}

impl FileView {
    /// Shows bytes that are held in memory.
    pub fn owned(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self(Bytes::Owned(bytes.into()))
    }

    /// Maps `file` whole, from offset 0, so that no page size is assumed.
    pub(super) fn mapped(file: &File) -> io::Result<Self> {
        // SAFETY: a mapping must not change or shrink while it is looked at. The store maps only
        // files that are immutable since they got their final name, it never writes to or cuts
        // such a file, and the lock on the data directory keeps other processes of ours away.
        let map = unsafe { Mmap::map(file)? };
        Ok(Self(Bytes::Mapped(Arc::new(map))))
    }

    /// Whether the bytes come from a mapping, and not from memory of the process.
    pub fn is_mapped(&self) -> bool {
        matches!(self.0, Bytes::Mapped(_))
    }
}

impl Deref for FileView {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes) => bytes,
        }
    }
}
