//! Formats whose codes are points of a code book: IQ1, IQ2 and IQ3.
//!
//! Their packed form holds indices, in the lanes of rows like all packed bytes. A tile cannot multiply with an index, so they
//! are always expanded to 8-bit codes, whatever the number of columns: unsigned ones, so that all sets read the same panel.
//! With AVX-512 VBMI 64 indices are looked up at once ([`vbmi`]); everywhere else points are loaded one by one, and the
//! signs of 32 columns come by way of a plane of bits, a vector at a time.

mod layouts;
mod points;
pub(super) mod vbmi;

use std::marker::PhantomData;

use self::points::Points;
use self::vbmi::Vbmi;
use super::codes::{Codes, Expanded};
use super::lanes::{Lanes, Operation};
use super::pack::{Pack, Panel, Vector};
use super::tile::{Halves, Scales, UNITS, Units};
use crate::cpu::kernels::strip::STRIP;
use crate::formats::{IQ1_M, IQ1_S, IQ2_S, IQ2_XS, IQ2_XXS, IQ3_S, IQ3_XXS};

/// One word of each row.
type Words = [u32; STRIP];

/// A packed format of a code book: what [`Pack`] asks for, less what all books have alike.
trait Book: Pack {
    /// The code book.
    type Points: Points;
    /// Bytes of scales, and of what else is read once for a block, of a row.
    const HEADER_BYTES: usize;
    /// Vectors of indices and signs of a unit.
    const VECTORS: usize;

    /// As [`Pack::pack`].
    ///
    /// # Safety
    /// As there.
    unsafe fn write<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]);

    /// As [`Pack::scales`], of all units.
    ///
    /// # Safety
    /// As there.
    unsafe fn read_scales<L: Lanes>(header: &[u8], scales: &mut Scales);

    /// What unit `u` is made of, from the vectors of the header and the codes of a group.
    fn fields(header: &[Vector], codes: &[Vector], u: usize) -> Fields;
}

/// Signs times magnitudes up to 62, 64 higher.
type Wide = Expanded<126>;

/// Five bits, 16 higher than the values.
type Narrow = Expanded<31>;

macro_rules! pack_books {
    ($($format:ident: $codes:ty, $grouping:ty;)*) => { $(
        impl Pack for $format {
            type Codes = $codes;
            type Expanded = $codes;
            type Grouping = $grouping;
            const HEADER: usize = Self::HEADER_BYTES * STRIP;
            const UNIT_BYTES: usize = Self::VECTORS * 64;
            const STORED_OFFSET: i32 = (<$codes as Codes>::MAX_CODE + 2) / 2;
            const DIRECT: bool = false;

            #[inline(always)]
            unsafe fn pack<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]) {
                // SAFETY: as this function.
                unsafe { Self::write::<L>(blocks, header, codes) };
            }

            #[inline(always)]
            unsafe fn scales<L: Lanes>(header: &[u8], _: usize, scales: &mut Scales) {
                // SAFETY: as this function.
                unsafe { Self::read_scales::<L>(header, scales) };
            }

            unsafe fn expand<L: Lanes>(
                header: &[u8],
                codes: &[u8],
                units: usize,
                panel: &mut Panel,
                vbmi: Option<Vbmi>,
            ) {
                // SAFETY: as this function.
                unsafe { expand::<L, Self>(header, codes, units, panel, vbmi) };
            }
        }
    )* };
}

pack_books! {
    IQ1_S: Narrow, Units;
    IQ1_M: Narrow, Halves;
    IQ2_XXS: Wide, Units;
    IQ2_XS: Wide, Halves;
    IQ2_S: Wide, Halves;
    IQ3_XXS: Wide, Units;
    IQ3_S: Narrow, Units;
}

/// A unit of 16 rows.
struct Fields {
    /// Byte `k` of word `v` of a row: bits 0 to 7 of the index of point `4v + k`. Points of eight values use the first word.
    low: [Words; 2],
    /// Likewise the bits above.
    high: [Words; 2],
    /// Bit `g` of byte `c` is for column `4g + c`.
    plane: Words,
}

/// [`Pack::expand`] of all books.
///
/// # Safety
/// The processor has the instruction set.
unsafe fn expand<L: Lanes, B: Book>(header: &[u8], codes: &[u8], units: usize, panel: &mut Panel, vbmi: Option<Vbmi>) {
    let (header, codes) = (header.as_chunks().0, codes.as_chunks().0);
    match vbmi {
        Some(vbmi) => vbmi.expand::<B>(header, codes, units, panel),
        // SAFETY: by the caller.
        None => unsafe { L::Moves::enter(Expand { header, codes, units, panel, book: PhantomData::<B> }) },
    }
}

/// Expands units, point by point.
struct Expand<'a, B> {
    header: &'a [Vector],
    codes: &'a [Vector],
    units: usize,
    panel: &'a mut Panel,
    book: PhantomData<B>,
}

impl<B: Book> Operation for Expand<'_, B> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let offset = const { B::STORED_OFFSET as u8 };
        let mut planes = [[0; STRIP]; UNITS];
        let units = self.panel.as_chunks_mut::<8>().0.iter_mut().zip(&mut planes).take(self.units);
        for (u, (unit, plane)) in units.enumerate() {
            let fields = B::fields(self.header, self.codes, u);
            *plane = fields.plane;
            for v in 0..8 / B::Points::VALUES {
                write_points::<B::Points>(&fields.low[v], &fields.high[v], v, unit);
            }
        }
        // Later, when what was written in pieces can be read whole.
        for (unit, plane) in self.panel.as_chunks_mut::<8>().0.iter_mut().zip(&planes).take(self.units) {
            let mut bits = [0; 64];
            for (bits, word) in bits.as_chunks_mut::<4>().0.iter_mut().zip(plane) {
                *bits = word.to_le_bytes();
            }
            for (g, vector) in unit.iter_mut().enumerate() {
                for (value, bits) in vector.iter_mut().zip(&bits) {
                    *value = B::Points::PLANE.code(*value, bits & 1 << g != 0, offset);
                }
            }
        }
    }
}

/// Writes the values of points `4v..4v + 4` of each row to their places.
#[inline(always)]
fn write_points<P: Points>(low: &Words, high: &Words, v: usize, unit: &mut [Vector; 8]) {
    // Indices of 16 bits, two in a word.
    let mut indices = [[0; STRIP]; 2];
    for row in 0..STRIP {
        let (low, high) = (low[row], high[row]);
        indices[0][row] = low & 0xFF | (low & 0xFF00 | high & 0xFF) << 8 | (high & 0xFF00) << 16;
        indices[1][row] = low >> 16 & 0xFF | (high >> 16 & 0xFF) << 8 | (low >> 24) << 16 | high & 0xFF00_0000;
    }
    for row in 0..STRIP {
        for k in 0..4 {
            let index = if P::COUNT == 256 {
                low[row] >> (8 * k) & 0xFF
            } else {
                indices[k / 2][row] >> (16 * (k % 2)) & 0xFFFF
            };
            let [a, b, c, d, rest @ ..] = P::point(index as usize);
            if P::VALUES == 8 {
                unit[2 * k].as_chunks_mut::<4>().0[row] = [a, b, c, d];
                unit[2 * k + 1].as_chunks_mut::<4>().0[row] = rest;
            } else {
                unit[4 * v + k].as_chunks_mut::<4>().0[row] = [a, b, c, d];
            }
        }
    }
}

#[cfg(test)]
mod tests;
