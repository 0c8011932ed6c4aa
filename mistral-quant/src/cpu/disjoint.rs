//! A mutable slice that the workers of one job write in parts of their own.

use std::marker::PhantomData;

/// Lends disjoint parts of a slice to several threads, where the parts are not chunks that `split_at_mut` could give.
pub(crate) struct Disjoint<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: a `Disjoint` only hands out `&mut [T]` of parts that, by the contract of `slice`, one thread holds at a time; moving
// such a part to another thread is what `T: Send` allows.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    /// Borrows the slice until the end of the job.
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// The part `start..start + len`; empty when it does not lie inside, which the checks of the operations exclude.
    ///
    /// # Safety
    /// While the part is in use no other part that overlaps it is.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn slice(&self, start: usize, len: usize) -> &mut [T] {
        if start.checked_add(len).is_none_or(|end| end > self.len) {
            debug_assert!(false, "{start} + {len} of {}", self.len);
            return &mut [];
        }
        // SAFETY: inside the borrowed slice as just checked; unique by the contract above.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }
}
