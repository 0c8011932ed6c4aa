//! How the codes of a packed unit lie: 16 rows of 32 columns as 8 vectors of 64 bytes, bits of them side by side.
//!
//! Vector `g` holds columns `4g..4g + 4`: byte `4 * row + column % 4`. A plane of fewer bits a code holds several vectors in the
//! bit fields of its bytes. Every class takes vector `g` out with a load, a shift and a mask.

use super::lanes::Lanes;

/// A way of storing codes.
pub(crate) trait Codes: 'static {
    /// Subtracted from every code.
    const OFFSET: i32;
    /// As in [`Grid`](crate::formats::Grid): the largest code; 128 marks signed ones.
    const MAX_CODE: i32;
    /// Whether halves of a unit have scales (and mins) of their own.
    const HALVES: bool;
    /// Whether there are mins.
    const MINS: bool;
    /// Bytes of a unit of 16 rows.
    const UNIT_BYTES: usize;

    /// Vector `g` of the unit, as [`Lanes::multiply_add`] takes it.
    ///
    /// # Safety
    /// As for [`Lanes`]; `unit` points to a unit of `UNIT_BYTES`, moved on to the first row of the register.
    unsafe fn vector<L: Lanes>(unit: *const u8, g: usize) -> L::Bytes;
}

/// 8 bits, signed, stored 128 higher.
pub(crate) struct Signed;

impl Codes for Signed {
    const OFFSET: i32 = 0;
    const MAX_CODE: i32 = 128;
    const HALVES: bool = false;
    const MINS: bool = false;
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
pub(crate) struct Expanded<const MAX_CODE: i32, const OFFSET: i32, const HALVES: bool, const MINS: bool>;

impl<const MAX_CODE: i32, const OFFSET: i32, const HALVES: bool, const MINS: bool> Codes
    for Expanded<MAX_CODE, OFFSET, HALVES, MINS>
{
    const OFFSET: i32 = OFFSET;
    const MAX_CODE: i32 = MAX_CODE;
    const HALVES: bool = HALVES;
    const MINS: bool = MINS;
    const UNIT_BYTES: usize = 512;

    #[inline(always)]
    unsafe fn vector<L: Lanes>(unit: *const u8, g: usize) -> L::Bytes {
        // SAFETY: inside the unit.
        unsafe { L::load(unit.add(64 * g)) }
    }
}

/// 4 bits: the low nibbles of 4 vectors are vectors 0 to 3, the high ones 4 to 7.
pub(crate) struct Nibbles<const OFFSET: i32, const MINS: bool>;

impl<const OFFSET: i32, const MINS: bool> Codes for Nibbles<OFFSET, MINS> {
    const OFFSET: i32 = OFFSET;
    const MAX_CODE: i32 = 15;
    const HALVES: bool = false;
    const MINS: bool = MINS;
    const UNIT_BYTES: usize = 256;

    #[inline(always)]
    unsafe fn vector<L: Lanes>(unit: *const u8, g: usize) -> L::Bytes {
        // SAFETY: inside the unit.
        unsafe { nibble::<L>(unit, g) }
    }
}

/// 4 + 1 bits: [`Nibbles`], then a vector whose bit `g` is the fifth bit of vector `g`.
pub(crate) struct Fives<const OFFSET: i32, const MINS: bool>;

impl<const OFFSET: i32, const MINS: bool> Codes for Fives<OFFSET, MINS> {
    const OFFSET: i32 = OFFSET;
    const MAX_CODE: i32 = 31;
    const HALVES: bool = false;
    const MINS: bool = MINS;
    const UNIT_BYTES: usize = 320;

    #[inline(always)]
    unsafe fn vector<L: Lanes>(unit: *const u8, g: usize) -> L::Bytes {
        // SAFETY: inside the unit.
        unsafe {
            let low = nibble::<L>(unit, g);
            L::or_masked(low, L::shift(L::load(unit.add(256)), g as i32 - 4), 0x10)
        }
    }
}

/// 4 + 2 bits: [`Nibbles`], then 2 vectors as in [`Pairs`] for the upper two bits.
pub(crate) struct Sixes;

impl Codes for Sixes {
    const OFFSET: i32 = 32;
    const MAX_CODE: i32 = 63;
    const HALVES: bool = true;
    const MINS: bool = false;
    const UNIT_BYTES: usize = 384;

    #[inline(always)]
    unsafe fn vector<L: Lanes>(unit: *const u8, g: usize) -> L::Bytes {
        // SAFETY: inside the unit.
        unsafe {
            let low = nibble::<L>(unit, g);
            L::or_masked(low, L::shift(L::load(unit.add(256 + 64 * (g / 4))), 2 * (g % 4) as i32 - 4), 0x30)
        }
    }
}

/// 2 bits: field `j` of vector `i` is vector `4i + j`.
pub(crate) struct Pairs<const OFFSET: i32, const HALVES: bool, const MINS: bool>;

impl<const OFFSET: i32, const HALVES: bool, const MINS: bool> Codes for Pairs<OFFSET, HALVES, MINS> {
    const OFFSET: i32 = OFFSET;
    const MAX_CODE: i32 = 3;
    const HALVES: bool = HALVES;
    const MINS: bool = MINS;
    const UNIT_BYTES: usize = 128;

    #[inline(always)]
    unsafe fn vector<L: Lanes>(unit: *const u8, g: usize) -> L::Bytes {
        // SAFETY: inside the unit.
        unsafe { pair::<L>(unit, g) }
    }
}

/// 2 + 1 bits: [`Pairs`], then a vector whose bit `g` is the third bit of vector `g`.
pub(crate) struct Threes;

impl Codes for Threes {
    const OFFSET: i32 = 4;
    const MAX_CODE: i32 = 7;
    const HALVES: bool = true;
    const MINS: bool = false;
    const UNIT_BYTES: usize = 192;

    #[inline(always)]
    unsafe fn vector<L: Lanes>(unit: *const u8, g: usize) -> L::Bytes {
        // SAFETY: inside the unit.
        unsafe {
            let low = pair::<L>(unit, g);
            L::or_masked(low, L::shift(L::load(unit.add(128)), g as i32 - 2), 4)
        }
    }
}

#[inline(always)]
unsafe fn nibble<L: Lanes>(plane: *const u8, g: usize) -> L::Bytes {
    // SAFETY: 4 vectors, by the caller.
    unsafe { L::and(L::shift(L::load(plane.add(64 * (g % 4))), if g < 4 { 0 } else { 4 }), 15) }
}

#[inline(always)]
unsafe fn pair<L: Lanes>(plane: *const u8, g: usize) -> L::Bytes {
    // SAFETY: 2 vectors, by the caller.
    unsafe { L::and(L::shift(L::load(plane.add(64 * (g / 4))), 2 * (g % 4) as i32), 3) }
}
