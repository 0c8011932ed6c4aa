//! The code books as the kernels see them.

#[cfg(target_arch = "x86_64")]
use super::vbmi::{self, Chunk};
use crate::cpu::kernels::integer::lanes::Lanes;
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

    /// The points themselves.
    fn table() -> Table;

    /// The tables of [`vbmi`].
    #[cfg(target_arch = "x86_64")]
    fn chunks() -> &'static [Chunk];
}

/// Points, the first value of each in its lowest byte.
#[derive(Debug, Clone, Copy)]
pub(super) enum Table {
    /// Of eight values.
    Eights(&'static [u64]),
    /// Of four.
    Fours(&'static [u32]),
}

impl Table {
    /// Values of a point.
    const fn values(self) -> usize {
        match self {
            Self::Eights(_) => 8,
            Self::Fours(_) => 4,
        }
    }
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
    /// The unsigned codes of the values of vector `g` of a unit.
    ///
    /// # Safety
    /// As for [`Lanes`].
    #[inline(always)]
    pub(super) unsafe fn codes<L: Lanes>(self, values: L::Bytes, plane: L::Bytes, g: usize, offset: u8) -> L::Bytes {
        // SAFETY: by the caller.
        unsafe {
            match self {
                Self::Signs => L::plus(L::negate(values, plane, g), offset),
                Self::Shifts => {
                    let up = L::plus(values, offset - SHIFTED_ZERO + 1);
                    L::minus(up, L::and(L::shift(plane, g as i32 - 1), 2))
                }
            }
        }
    }

    /// The unsigned code of a value.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] // What `vbmi` looks up.
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
    ($name:ident, $doc:literal, $count:literal $values:ident, $levels:ident, $plane:ident, $table:ident) => {
        #[doc = $doc]
        #[allow(non_camel_case_types)]
        pub(super) struct $name;

        impl Points for $name {
            const COUNT: usize = $count;
            const VALUES: usize = Table::$values(&[]).values();
            const LEVELS: &'static [u8] = &$levels;
            const PLANE: Plane = Plane::$plane;

            #[inline(always)]
            fn table() -> Table {
                Table::$values(&code_book::$table)
            }

            #[cfg(target_arch = "x86_64")]
            #[inline(always)]
            fn chunks() -> &'static [Chunk] {
                &vbmi::$table
            }
        }
    };
}

points!(Eights256, "Of IQ2_XXS.", 256 Eights, LEVELS_IQ2, Signs, IQ2_XXS);
points!(Eights512, "Of IQ2_XS.", 512 Eights, LEVELS_IQ2, Signs, IQ2_XS);
points!(Eights1024, "Of IQ2_S.", 1024 Eights, LEVELS_IQ2, Signs, IQ2_S);
points!(Ternary2048, "Of IQ1_S and IQ1_M.", 2048 Eights, LEVELS_IQ1, Shifts, IQ1);
points!(Fours256, "Of IQ3_XXS.", 256 Fours, LEVELS_IQ3_XXS, Signs, IQ3_XXS);
points!(Fours512, "Of IQ3_S.", 512 Fours, LEVELS_IQ3_S, Signs, IQ3_S);
