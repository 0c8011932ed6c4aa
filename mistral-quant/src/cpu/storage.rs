//! Zeroed memory that the system gives page by page at the first touch, with a typed error where it gives none.

use std::alloc::{self, Layout};

use crate::Error;

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

/// `len` zeros. A cache of many gigabytes costs nothing until its blocks are written.
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
    // SAFETY: allocated by the global allocator with exactly the layout of `len` elements, all initialised: zero bytes
    // are a value of `T` by the trait.
    Ok(unsafe { Vec::from_raw_parts(start, len, len) })
}
