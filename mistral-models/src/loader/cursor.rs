//! A reader over bytes that checks every length against what remains, and names the offset in its errors.

use crate::error::Error;
use crate::loader::limits::Limits;

/// A position in the bytes of a file. All numbers are little-endian.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    what: &'a str,
    /// The bounds that strings are held to.
    pub(crate) limits: &'a Limits,
}

impl<'a> Cursor<'a> {
    /// Starts at the first byte; `what` is the file's name in errors.
    pub(crate) fn new(bytes: &'a [u8], what: &'a str, limits: &'a Limits) -> Self {
        Self { bytes, at: 0, what, limits }
    }

    /// The name of the file.
    pub(crate) fn what(&self) -> &'a str {
        self.what
    }

    /// The offset of the next byte.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Returns the bytes that are left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// How many bytes are left.
    pub(crate) fn remaining(&self) -> u64 {
        (self.bytes.len() - self.at) as u64
    }

    /// A malformed-file error at the present offset.
    pub(crate) fn malformed(&self, detail: impl std::fmt::Display) -> Error {
        Error::malformed(self.what, format!("{detail} (at byte {})", self.at))
    }

    /// Returns the error for `len` bytes that the file does not have: the file is truncated, or the length is absurd.
    pub(crate) fn short(&self, len: u64, of: &str) -> Error {
        // No file has more: such a length is damage.
        const LARGEST: u64 = 1 << 44;
        match (self.at as u64).checked_add(len).filter(|promised| *promised <= LARGEST) {
            Some(promised) => Error::Truncated { what: self.what.to_owned(), promised, found: self.bytes.len() as u64 },
            None => self.malformed(format_args!("{of} of {len} bytes, {} are left", self.remaining())),
        }
    }

    /// An error when `found` exceeds `limit`.
    pub(crate) fn limit(&self, what: &str, found: u64, limit: u64) -> Result<(), Error> {
        if found > limit {
            return Err(Error::Limit { what: format!("{what} of {}", self.what), limit, found });
        }
        Ok(())
    }

    /// The next `len` bytes; `of` says what they are.
    pub(crate) fn take(&mut self, len: u64, of: &str) -> Result<&'a [u8], Error> {
        let part = usize::try_from(len).ok().and_then(|len| self.bytes.get(self.at..)?.get(..len));
        let part = part.ok_or_else(|| self.short(len, of))?;
        self.at += part.len();
        Ok(part)
    }

    /// The next `count` elements of `width` bytes each.
    pub(crate) fn take_elements(&mut self, count: u64, width: u64, of: &str) -> Result<&'a [u8], Error> {
        let len = count
            .checked_mul(width)
            .ok_or_else(|| self.malformed(format_args!("{of} of {count} elements overflows a size")))?;
        self.take(len, of)
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self, of: &str) -> Result<[u8; N], Error> {
        let part = self.take(N as u64, of)?;
        part.try_into().map_err(|_| self.malformed(of))
    }

    /// A 32-bit number.
    pub(crate) fn u32(&mut self, of: &str) -> Result<u32, Error> {
        self.array(of).map(u32::from_le_bytes)
    }

    /// A 64-bit number.
    pub(crate) fn u64(&mut self, of: &str) -> Result<u64, Error> {
        self.array(of).map(u64::from_le_bytes)
    }

    /// The bytes of a string: a 64-bit length, then that many bytes.
    pub(crate) fn string_bytes(&mut self, of: &str) -> Result<&'a [u8], Error> {
        let len = self.u64(of)?;
        if len <= self.remaining() {
            self.limit(of, len, self.limits.string_bytes)?;
        }
        self.take(len, of)
    }

    /// A key or tensor name: not empty, of bounded length.
    pub(crate) fn name(&mut self, of: &str) -> Result<&'a str, Error> {
        let name = self.string(of)?;
        if name.is_empty() {
            return Err(self.malformed(format_args!("empty {of}")));
        }
        self.limit(of, name.len() as u64, self.limits.name_bytes)?;
        Ok(name)
    }

    /// A string of UTF-8.
    pub(crate) fn string(&mut self, of: &str) -> Result<&'a str, Error> {
        let bytes = self.string_bytes(of)?;
        std::str::from_utf8(bytes).map_err(|e| self.malformed(format_args!("{of} is not UTF-8: {e}")))
    }
}
