//! What the allocator does with memory that was freed.
#![expect(unsafe_code, reason = "the system's allocator is told its limits by a call in C")]

/// Freed pieces from this size on, and so much at the end of the heap, go back to the system.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT_BYTES_MAX: i32 = 1 << 20;

/// Has the allocator give large pieces back to the system when they are freed. Left alone, glibc
/// takes the largest piece that was ever freed for what is needed again and again, and keeps up to
/// twice as much: the body of one large target, read once, would stay in memory for good. Other
/// allocators than glibc's are left as they are.
pub fn give_back_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const TRIM_THRESHOLD: i32 = -1;
        const MMAP_THRESHOLD: i32 = -3;
        unsafe extern "C" {
            fn mallopt(parameter: i32, value: i32) -> i32;
        }
        for parameter in [MMAP_THRESHOLD, TRIM_THRESHOLD] {
            // SAFETY: the function takes two numbers and reads no memory of ours; what it does not
            // know it refuses. It may be called at any time, by any thread.
            let taken = unsafe { mallopt(parameter, KEPT_BYTES_MAX) };
            debug_assert_eq!(taken, 1, "the allocator's limit {parameter}");
        }
    }
}

/// Gives the free pages within the heap back to the system: what many small pieces leave behind
/// that were freed, and what the arenas of other threads hold. Takes some milliseconds, while which
/// other threads may wait.
pub(crate) fn give_back_free_pages() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        unsafe extern "C" {
            fn malloc_trim(pad: usize) -> i32;
        }
        // SAFETY: the function takes a number and frees nothing that is in use; it locks what it
        // looks at, so any thread may call it at any time.
        unsafe { malloc_trim(0) };
    }
}
