//! How the codes of a packed unit lie: 16 rows of 32 columns as 8 vectors of 64 bytes, bits of them side by side.
//!
//! Vector `g` holds columns `4g..4g + 4`: byte `4 * row + column % 4`. A plane of fewer bits a code holds several vectors in the
//! bit fields of its bytes. Every class takes vector `g` out with a load, a shift and a mask.

use std::marker::PhantomData;

use super::lanes::Lanes;
use crate::formats::Grid;

/// A way of storing codes.
pub(crate) trait Codes: 'static {
    /// The format, for offset, bounds, halves and mins.
    type Format: Grid;
    /// Bytes of a unit of 16 rows.
    const UNIT_BYTES: usize;

    /// Vector `g` of the unit, as [`Lanes::multiply_add`] takes it.
    ///
    /// # Safety
    /// As for [`Lanes`]; `unit` points to a unit of `UNIT_BYTES`, moved on to the first row of the register.
    unsafe fn vector<L: Lanes>(unit: *const u8, g: usize) -> L::Bytes;
}

/// 8 bits, signed, stored 128 higher.
pub(crate) struct Signed<B>(PhantomData<B>);

impl<B: Grid> Codes for Signed<B> {
    type Format = B;
    const UNIT_BYTES: usize = 512;

    #[inline(always)]
    unsafe fn vector<L: Lanes>(unit: *const u8, g: usize) -> L::Bytes {
        // SAFETY: inside the unit.
        unsafe {
            let stored = L::load(unit.add(64 * g));
            if L::BIASED { stored } else { L::xor(stored, 0x80) }
        }
    }
}

/// 8 bits as [`Lanes::multiply_add`] takes them: what the other classes are expanded to.
pub(crate) struct Expanded<B>(PhantomData<B>);

impl<B: Grid> Codes for Expanded<B> {
    type Format = B;
    const UNIT_BYTES: usize = 512;

    #[inline(always)]
    unsafe fn vector<L: Lanes>(unit: *const u8, g: usize) -> L::Bytes {
        // SAFETY: inside the unit.
        unsafe { L::load(unit.add(64 * g)) }
    }
}

/// 4 bits: the low nibbles of 4 vectors are vectors 0 to 3, the high ones 4 to 7.
pub(crate) struct Nibbles<B>(PhantomData<B>);

impl<B: Grid> Codes for Nibbles<B> {
    type Format = B;
    const UNIT_BYTES: usize = 256;

    #[inline(always)]
    unsafe fn vector<L: Lanes>(unit: *const u8, g: usize) -> L::Bytes {
        // SAFETY: inside the unit.
        unsafe { L::and(L::shift(L::load(unit.add(64 * (g % 4))), if g < 4 { 0 } else { 4 }), 15) }
    }
}

/// 4 + 1 bits: [`Nibbles`], then a vector whose bit `g` is the fifth bit of vector `g`.
pub(crate) struct Fives<B>(PhantomData<B>);

impl<B: Grid> Codes for Fives<B> {
    type Format = B;
    const UNIT_BYTES: usize = 320;

    #[inline(always)]
    unsafe fn vector<L: Lanes>(unit: *const u8, g: usize) -> L::Bytes {
        // SAFETY: inside the unit.
        unsafe {
            let low = Nibbles::<B>::vector::<L>(unit, g);
            L::or_masked(low, L::shift(L::load(unit.add(256)), g as i32 - 4), 0x10)
        }
    }
}

/// 4 + 2 bits: [`Nibbles`], then 2 vectors as in [`Pairs`] for the upper two bits.
pub(crate) struct Sixes<B>(PhantomData<B>);

impl<B: Grid> Codes for Sixes<B> {
    type Format = B;
    const UNIT_BYTES: usize = 384;

    #[inline(always)]
    unsafe fn vector<L: Lanes>(unit: *const u8, g: usize) -> L::Bytes {
        // SAFETY: inside the unit.
        unsafe {
            let low = Nibbles::<B>::vector::<L>(unit, g);
            L::or_masked(low, L::shift(L::load(unit.add(256 + 64 * (g / 4))), 2 * (g % 4) as i32 - 4), 0x30)
        }
    }
}

/// 2 bits: field `j` of vector `i` is vector `4i + j`.
pub(crate) struct Pairs<B>(PhantomData<B>);

impl<B: Grid> Codes for Pairs<B> {
    type Format = B;
    const UNIT_BYTES: usize = 128;

    #[inline(always)]
    unsafe fn vector<L: Lanes>(unit: *const u8, g: usize) -> L::Bytes {
        // SAFETY: inside the unit.
        unsafe { L::and(L::shift(L::load(unit.add(64 * (g / 4))), 2 * (g % 4) as i32), 3) }
    }
}

/// 2 + 1 bits: [`Pairs`], then a vector whose bit `g` is the third bit of vector `g`.
pub(crate) struct Threes<B>(PhantomData<B>);

impl<B: Grid> Codes for Threes<B> {
    type Format = B;
    const UNIT_BYTES: usize = 192;

    #[inline(always)]
    unsafe fn vector<L: Lanes>(unit: *const u8, g: usize) -> L::Bytes {
        // SAFETY: inside the unit.
        unsafe {
            let low = Pairs::<B>::vector::<L>(unit, g);
            L::or_masked(low, L::shift(L::load(unit.add(128)), g as i32 - 2), 4)
        }
    }
}
