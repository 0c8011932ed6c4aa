//! The code books as the kernels see them.

#[cfg(target_arch = "x86_64")]
use super::vbmi::{self, Chunk};
use crate::formats::code_book::{self, LEVELS_IQ1, LEVELS_IQ2, LEVELS_IQ3_S, LEVELS_IQ3_XXS};

/// A code book.
pub(super) trait Points: 'static {
    /// Its points: 256 to 2048, a power of two.
    const COUNT: usize;
    /// Values of a point: 8 or 4.
    const VALUES: usize;
    /// The values that occur, in rising order: 3 in points of eight and 8 in points of four.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] // What `vbmi` looks up.
    const LEVELS: &'static [u8];
    /// What the bits of a plane mean.
    const PLANE: Plane;

    /// The values of point `index % COUNT`; of four values the last four are zero.
    fn point(index: usize) -> [u8; 8];

    /// The tables of [`vbmi`].
    #[cfg(target_arch = "x86_64")]
    fn chunks() -> &'static [Chunk];
}

/// What a bit of a plane does to the value of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plane {
    /// Negates it.
    Signs,
    /// Shifts it down by an eighth rather than up; values are eight times as large, and [`SHIFTED_ZERO`] higher.
    Shifts,
}

/// What stands for zero in the points of IQ1.
const SHIFTED_ZERO: u8 = 9;

impl Plane {
    /// The unsigned code of a value.
    #[inline(always)]
    pub(super) const fn code(self, value: u8, bit: bool, offset: u8) -> u8 {
        match (self, bit) {
            (Self::Signs, false) => offset.wrapping_add(value),
            (Self::Signs, true) => offset.wrapping_sub(value),
            (Self::Shifts, false) => value.wrapping_add(offset - SHIFTED_ZERO + 1),
            (Self::Shifts, true) => value.wrapping_add(offset - SHIFTED_ZERO - 1),
        }
    }
}

macro_rules! points {
    ($name:ident, $doc:literal, $count:literal points of $values:literal, $levels:ident, $plane:ident, $table:ident) => {
        #[doc = $doc]
        #[allow(non_camel_case_types)]
        pub(super) struct $name;

        impl Points for $name {
            const COUNT: usize = $count;
            const VALUES: usize = $values;
            const LEVELS: &'static [u8] = &$levels;
            const PLANE: Plane = Plane::$plane;

            #[inline(always)]
            fn point(index: usize) -> [u8; 8] {
                // Of four values as of eight.
                #[allow(clippy::useless_conversion)]
                u64::from(code_book::$table[index % $count]).to_le_bytes()
            }

            #[cfg(target_arch = "x86_64")]
            #[inline(always)]
            fn chunks() -> &'static [Chunk] {
                &vbmi::$table
            }
        }
    };
}

points!(Eights256, "Of IQ2_XXS.", 256 points of 8, LEVELS_IQ2, Signs, IQ2_XXS);
points!(Eights512, "Of IQ2_XS.", 512 points of 8, LEVELS_IQ2, Signs, IQ2_XS);
points!(Eights1024, "Of IQ2_S.", 1024 points of 8, LEVELS_IQ2, Signs, IQ2_S);
points!(Ternary2048, "Of IQ1_S and IQ1_M.", 2048 points of 8, LEVELS_IQ1, Shifts, IQ1);
points!(Fours256, "Of IQ3_XXS.", 256 points of 4, LEVELS_IQ3_XXS, Signs, IQ3_XXS);
points!(Fours512, "Of IQ3_S.", 512 points of 4, LEVELS_IQ3_S, Signs, IQ3_S);
