//! Zeroed memory that the system gives page by page at the first touch, with a typed error where it gives none.

use std::alloc::{self, Layout};
use std::ops::{Deref, DerefMut};

use crate::error::Error;

/// A number type whose all-zero bytes are the value 0.
///
/// # Safety
/// All bytes zero must be a valid value.
pub(crate) unsafe trait Zeroed: Copy {}

// SAFETY: 0.0 is all bytes zero.
unsafe impl Zeroed for f32 {}
// SAFETY: 0.0 is all bytes zero.
unsafe impl Zeroed for half::f16 {}
// SAFETY: 0 is all bytes zero.
unsafe impl Zeroed for u32 {}
// SAFETY: 0.0 is all bytes zero.
unsafe impl Zeroed for half::bf16 {}
// SAFETY: 0 is all bytes zero.
unsafe impl Zeroed for i8 {}

/// `len` zeros. A cache of many gigabytes costs nothing until its blocks are written. From 8 MiB on the system is asked
/// for pages of 2 MiB, so that reading scattered blocks does not wait for translations; it then gives memory 2 MiB at a time. (Types of
/// a higher alignment than the allocator's are zeroed before that and keep small pages: packed weights, which are read as one
/// stream, at the same speed either way: -3 to +3 % of generation, measured.)
pub(crate) fn zeroed<T: Zeroed>(what: &str, len: usize) -> Result<Vec<T>, Error> {
    let refused = |detail: &str| Error::Resource {
        what: format!("{what} of {len} x {} bytes", size_of::<T>()),
        detail: detail.into(),
    };
    let layout = Layout::array::<T>(len).map_err(|_| refused("more than can be addressed"))?;
    if layout.size() == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the layout is not of size 0.
    let start = unsafe { alloc::alloc_zeroed(layout) }.cast::<T>();
    if start.is_null() {
        return Err(refused("out of memory"));
    }
    ask_for_huge_pages(start.cast(), layout.size());
    // SAFETY: allocated by the global allocator with exactly the layout of `len` elements, all initialised: zero bytes
    // are a value of `T` by the trait.
    Ok(unsafe { Vec::from_raw_parts(start, len, len) })
}

/// Floats from the start of a cache line on, so that 16 outputs of a token are one line.
#[derive(Debug)]
pub(crate) struct Lines {
    memory: Vec<f32>,
    start: usize,
    len: usize,
}

impl Lines {
    /// `len` zeros.
    pub(crate) fn zeroed(what: &str, len: usize) -> Result<Self, Error> {
        /// Floats of a cache line.
        const LINE: usize = 16;
        let memory = zeroed::<f32>(what, len.saturating_add(LINE))?;
        // Where the offset is not known (in an interpreter), the start is as good.
        let start = memory.as_ptr().align_offset(LINE * size_of::<f32>());
        Ok(Self { memory, start: if start < LINE { start } else { 0 }, len })
    }
}

impl Deref for Lines {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.memory[self.start..self.start + self.len]
    }
}

impl DerefMut for Lines {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

/// A hint: whatever the system answers, the memory is as it was.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
fn ask_for_huge_pages(start: *mut u8, bytes: usize) {
    use std::ffi::{c_int, c_void};
    /// From `asm-generic/mman-common.h`, which both architectures use.
    const MADV_HUGEPAGE: c_int = 14;
    const HUGE_PAGE: usize = 2 << 20;
    /// Up to one huge page more than is used matters little from here.
    const HUGE_FROM: usize = 8 << 20;
    unsafe extern "C" {
        // Of the C library that `std` links.
        fn madvise(start: *mut c_void, len: usize, advice: c_int) -> c_int;
    }
    let first = start.align_offset(HUGE_PAGE);
    if bytes >= HUGE_FROM && first < bytes {
        let len = (bytes - first) / HUGE_PAGE * HUGE_PAGE;
        // SAFETY: whole pages of our own allocation, whose contents the advice does not change.
        unsafe { madvise(start.wrapping_add(first).cast(), len, MADV_HUGEPAGE) };
    }
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
fn ask_for_huge_pages(_: *mut u8, _: usize) {}
