//! Bytes with a shared owner: a slice of a mapped file or of a buffer, cheap to clone and to split.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A range of bytes kept alive by a shared owner (a memory map, a `Vec<u8>`, a static array).
///
/// Cloning and slicing cost one reference count. The bytes never move and never change.
#[derive(Clone)]
pub struct SharedBytes {
    owner: Arc<dyn Owner>,
    range: Range<usize>,
}

/// What keeps bytes alive.
trait Owner: Send + Sync {
    fn bytes(&self) -> &[u8];
    fn release(&self, range: Range<usize>);
}

/// An owner whose memory is all there is.
struct Held<T>(T);

impl<T: AsRef<[u8]> + Send + Sync> Owner for Held<T> {
    fn bytes(&self) -> &[u8] {
        self.0.as_ref()
    }

    fn release(&self, _: Range<usize>) {}
}

/// An owner that can give memory back and read the bytes again from where they came.
struct Backed<T, F> {
    owner: T,
    release: F,
}

impl<T: AsRef<[u8]> + Send + Sync, F: Fn(&T, Range<usize>) + Send + Sync> Owner for Backed<T, F> {
    fn bytes(&self) -> &[u8] {
        self.owner.as_ref()
    }

    fn release(&self, range: Range<usize>) {
        (self.release)(&self.owner, range);
    }
}

impl SharedBytes {
    /// Shares all bytes of `owner`. The owner must return the same slice at each call; a shorter one later is cut, never read past.
    pub fn new(owner: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        let len = owner.as_ref().len();
        Self { owner: Arc::new(Held(owner)), range: 0..len }
    }

    /// As [`new`](Self::new), for bytes that are a view of something else, such as a mapped file: `release(owner, range)` gives the
    /// memory of a range back to the system, and a later read finds the same bytes again.
    pub fn backed<T: AsRef<[u8]> + Send + Sync + 'static>(
        owner: T,
        release: impl Fn(&T, Range<usize>) + Send + Sync + 'static,
    ) -> Self {
        let len = owner.as_ref().len();
        Self { owner: Arc::new(Backed { owner, release }), range: 0..len }
    }

    /// Says that these bytes will not be read soon: a mapped file gives their pages back. Without effect on bytes that are all there
    /// is. Reading them afterwards is allowed, and costs what the first read did.
    pub fn release(&self) {
        self.owner.release(self.range.clone());
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.owner.bytes().get(self.range.clone()).unwrap_or_default()
    }

    /// The number of bytes.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// A part of these bytes with the same owner; `None` when the range does not lie inside.
    pub fn slice(&self, range: Range<usize>) -> Option<Self> {
        if range.start > range.end || range.end > self.len() {
            return None;
        }
        let start = self.range.start + range.start;
        Some(Self { owner: Arc::clone(&self.owner), range: start..start + range.len() })
    }
}

impl AsRef<[u8]> for SharedBytes {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl fmt::Debug for SharedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedBytes({} bytes)", self.len())
    }
}
