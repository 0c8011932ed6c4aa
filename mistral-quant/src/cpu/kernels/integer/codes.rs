//! How the codes of a packed unit lie: 16 rows of 32 columns as 8 vectors of 64 bytes, bits of them side by side.
//!
//! A class only says where codes lie. What they stand for, the offset that is taken from them and how scales and mins are shared out, is
//! the format's ([`Grid`](crate::formats::Grid)), so that formats share tiles.
//!
//! Vector `g` holds columns `4g..4g + 4`: byte `4 * row + column % 4`. A plane of fewer bits a code holds several vectors in the
//! bit fields of its bytes. Every class takes vector `g` out with a load, a shift and a mask.

use std::marker::PhantomData;

use super::lanes::Lanes;
use crate::formats::{e2m1, iq4_nl};

/// A way of storing codes.
pub(crate) trait Codes: 'static {
    /// As in [`Grid`](crate::formats::Grid), or more: the largest code; 128 marks signed ones.
    const MAX_CODE: i32;
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
    const MAX_CODE: i32 = 128;
    const UNIT_BYTES: usize = 512;

    #[inline(always)]
    unsafe fn vector<L: Lanes>(unit: *const u8, g: usize) -> L::Bytes {
        // SAFETY: inside the unit.
        unsafe {
            let stored = L::load(unit.wrapping_add(64 * g));
            if L::BIASED { stored } else { L::xor(stored, 0x80) }
        }
    }
}

/// 8 bits as [`Lanes::multiply_add`] takes them: what the other classes are expanded to.
pub(crate) struct Expanded<const MAX_CODE: i32>;

impl<const MAX_CODE: i32> Codes for Expanded<MAX_CODE> {
    const MAX_CODE: i32 = MAX_CODE;
    const UNIT_BYTES: usize = 512;

    #[inline(always)]
    unsafe fn vector<L: Lanes>(unit: *const u8, g: usize) -> L::Bytes {
        // SAFETY: inside the unit.
        unsafe { L::load(unit.wrapping_add(64 * g)) }
    }
}

/// 4 bits: the low nibbles of 4 vectors are vectors 0 to 3, the high ones 4 to 7.
pub(crate) struct Nibbles;

impl Codes for Nibbles {
    const MAX_CODE: i32 = 15;
    const UNIT_BYTES: usize = 256;

    #[inline(always)]
    unsafe fn vector<L: Lanes>(unit: *const u8, g: usize) -> L::Bytes {
        // SAFETY: inside the unit.
        unsafe { nibble::<L>(unit, g) }
    }
}

/// The values of a table of 16.
pub(crate) trait Values: 'static {
    /// As [`Codes::MAX_CODE`].
    const MAX_CODE: i32;
    /// The code of each index.
    const CODES: [i8; 16];
}

/// IQ4_NL's table: signed codes.
pub(crate) struct NonLinear;

impl Values for NonLinear {
    const MAX_CODE: i32 = 128;
    const CODES: [i8; 16] = iq4_nl::VALUES;
}

/// The 4-bit floats of MXFP4 and NVFP4: unsigned codes.
pub(crate) struct Floats4;

impl Values for Floats4 {
    const MAX_CODE: i32 = 2 * e2m1::BIAS as i32;
    const CODES: [i8; 16] = e2m1::CODES;
}

/// 4 bits that are indices into a table; planes as in [`Nibbles`].
pub(crate) struct Table<V>(PhantomData<V>);

impl<V: Values> Codes for Table<V> {
    const MAX_CODE: i32 = V::MAX_CODE;
    const UNIT_BYTES: usize = 256;

    #[inline(always)]
    unsafe fn vector<L: Lanes>(unit: *const u8, g: usize) -> L::Bytes {
        let table = if V::MAX_CODE == 128 && L::BIASED {
            const { &flipped(V::CODES, 0x80) }
        } else {
            const { &flipped(V::CODES, 0) }
        };
        // SAFETY: inside the unit; a nibble is below 16.
        unsafe { L::look_up(table, nibble::<L>(unit, g)) }
    }
}

const fn flipped(codes: [i8; 16], bit: u8) -> [u8; 16] {
    let mut table = [0; 16];
    let mut i = 0;
    while i < 16 {
        table[i] = codes[i] as u8 ^ bit;
        i += 1;
    }
    table
}

/// 4 + 1 bits: [`Nibbles`], then a vector whose bit `g` is the fifth bit of vector `g`.
pub(crate) struct Fives;

impl Codes for Fives {
    const MAX_CODE: i32 = 31;
    const UNIT_BYTES: usize = 320;

    #[inline(always)]
    unsafe fn vector<L: Lanes>(unit: *const u8, g: usize) -> L::Bytes {
        // SAFETY: inside the unit.
        unsafe {
            let low = nibble::<L>(unit, g);
            L::or_masked(low, L::shift(L::load(unit.wrapping_add(256)), g as i32 - 4), 0x10)
        }
    }
}

/// 4 + 2 bits: [`Nibbles`], then 2 vectors as in [`Pairs`] for the upper two bits.
pub(crate) struct Sixes;

impl Codes for Sixes {
    const MAX_CODE: i32 = 63;
    const UNIT_BYTES: usize = 384;

    #[inline(always)]
    unsafe fn vector<L: Lanes>(unit: *const u8, g: usize) -> L::Bytes {
        // SAFETY: inside the unit.
        unsafe {
            let low = nibble::<L>(unit, g);
            L::or_masked(low, L::shift(L::load(unit.wrapping_add(256 + 64 * (g / 4))), 2 * (g % 4) as i32 - 4), 0x30)
        }
    }
}

/// 2 bits: field `j` of vector `i` is vector `4i + j`.
pub(crate) struct Pairs;

impl Codes for Pairs {
    const MAX_CODE: i32 = 3;
    const UNIT_BYTES: usize = 128;

    #[inline(always)]
    unsafe fn vector<L: Lanes>(unit: *const u8, g: usize) -> L::Bytes {
        // SAFETY: inside the unit.
        unsafe { pair::<L>(unit, g) }
    }
}

/// 1 bit: bit `g` of the vector is vector `g`, as the codes 0 and 2.
pub(crate) struct Signs;

impl Codes for Signs {
    const MAX_CODE: i32 = 2;
    const UNIT_BYTES: usize = 64;

    #[inline(always)]
    unsafe fn vector<L: Lanes>(unit: *const u8, g: usize) -> L::Bytes {
        // SAFETY: inside the unit.
        unsafe { L::and(L::shift(L::load(unit), g as i32 - 1), 2) }
    }
}

/// 2 + 1 bits: [`Pairs`], then a vector whose bit `g` is the third bit of vector `g`.
pub(crate) struct Threes;

impl Codes for Threes {
    const MAX_CODE: i32 = 7;
    const UNIT_BYTES: usize = 192;

    #[inline(always)]
    unsafe fn vector<L: Lanes>(unit: *const u8, g: usize) -> L::Bytes {
        // SAFETY: inside the unit.
        unsafe {
            let low = pair::<L>(unit, g);
            L::or_masked(low, L::shift(L::load(unit.wrapping_add(128)), g as i32 - 2), 4)
        }
    }
}

#[inline(always)]
unsafe fn nibble<L: Lanes>(plane: *const u8, g: usize) -> L::Bytes {
    // SAFETY: 4 vectors, by the caller.
    unsafe { L::and(L::shift(L::load(plane.wrapping_add(64 * (g % 4))), if g < 4 { 0 } else { 4 }), 15) }
}

#[inline(always)]
unsafe fn pair<L: Lanes>(plane: *const u8, g: usize) -> L::Bytes {
    // SAFETY: 2 vectors, by the caller.
    unsafe { L::and(L::shift(L::load(plane.wrapping_add(64 * (g / 4))), 2 * (g % 4) as i32), 3) }
}
