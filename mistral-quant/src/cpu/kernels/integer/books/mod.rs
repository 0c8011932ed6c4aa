//! Formats whose codes are points of a code book: IQ1, IQ2 and IQ3.
//!
//! Their packed form holds indices, in the lanes of rows like all packed bytes. A tile cannot multiply with an index, so they
//! are always expanded to 8-bit codes, whatever the number of columns: unsigned ones, so that all sets read the same panel.
//! With AVX-512 VBMI 64 indices are looked up at once ([`vbmi`]); everywhere else points are loaded one by one into the
//! rows of a register, and the signs of 32 columns come by way of a plane of bits, a vector at a time.

mod layouts;
mod points;
pub(super) mod vbmi;

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use self::points::{Points, Table};
use self::vbmi::Vbmi;
use super::codes::{Codes, Expanded};
use super::lanes::{Lanes, Operation, unroll};
use super::pack::{Pack, Panel, Vector};
use super::tile::{Halves, Scales, UNITS, Units};
use crate::cpu::kernels::strip::STRIP;
use crate::formats::iq1_m::IQ1_M;
use crate::formats::iq1_s::IQ1_S;
use crate::formats::iq2_s::IQ2_S;
use crate::formats::iq2_xs::IQ2_XS;
use crate::formats::iq2_xxs::IQ2_XXS;
use crate::formats::iq3_s::IQ3_S;
use crate::formats::iq3_xxs::IQ3_XXS;

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

/// Of each row the indices of four points, of 16 bits.
type Indices = [[u8; 8]; STRIP];

/// Units whose indices are written before those of a unit are read: a load of a part of a vector that is still on its way to the
/// cache waits, and takes twice as long as all the rest. Meanwhile the arithmetic is done beside the loads of points.
const WRITTEN_AHEAD: usize = 2;

impl<B: Book> Operation for Expand<'_, B> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let per_unit = const { 8 / B::Points::VALUES };
        let units = self.units.min(UNITS);
        let mut planes = [const { MaybeUninit::<Vector>::uninit() }; UNITS];
        let mut indices = [const { [MaybeUninit::<Indices>::uninit(); 2] }; UNITS];
        for u in 0..units + WRITTEN_AHEAD {
            if u < units {
                let fields = B::fields(self.header, self.codes, u);
                planes[u].write(bytes(&fields.plane));
                for (v, indices) in indices[u].iter_mut().enumerate().take(per_unit) {
                    let (low, high) = (bytes(&fields.low[v]), bytes(&fields.high[v]));
                    // SAFETY: as this function.
                    unsafe { write_indices::<L, B::Points>(&low, &high, indices.as_mut_ptr()) };
                }
            }
            if u >= WRITTEN_AHEAD {
                let u = u - WRITTEN_AHEAD;
                let unit = &mut self.panel.as_chunks_mut::<8>().0[u];
                // SAFETY: what is read was written above; the rest is as for this function.
                unsafe {
                    let indices = [0, per_unit - 1].map(|v| indices[u][v].assume_init_ref());
                    write_codes::<L, B>(indices, planes[u].assume_init_ref(), unit);
                }
            }
        }
    }
}

/// Writes the indices of four points of each row, whose lower and upper bits are given.
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
unsafe fn write_indices<L: Lanes, P: Points>(low: &Vector, high: &Vector, to: *mut Indices) {
    for first in (0..STRIP).step_by(L::ROWS) {
        // SAFETY: the processor has the set, by the caller; `ROWS` divides `STRIP`, so that all rows lie inside the vectors.
        unsafe {
            let low = L::load(low.as_ptr().add(4 * first));
            let high = L::and(L::load(high.as_ptr().add(4 * first)), const { (P::COUNT / 256 - 1) as u8 });
            L::interleave(low, high, to.cast::<u8>().add(8 * first));
        }
    }
}

/// Writes the codes of a unit: points of eight are those of the first indices, points of four those of both.
///
/// # Safety
/// As for [`Lanes`]; the indices are below the number of points.
#[inline(always)]
unsafe fn write_codes<L: Lanes, B: Book>(indices: [&Indices; 2], plane: &Vector, unit: &mut [Vector; 8]) {
    let offset = const { B::STORED_OFFSET as u8 };
    for first in (0..STRIP).step_by(L::ROWS) {
        let to = unit.as_flattened_mut().as_mut_ptr().wrapping_add(4 * first);
        // SAFETY: the processor has the set and points have such indices, by the caller; `ROWS` divides `STRIP`, so that all rows lie
        // inside the vectors.
        unsafe {
            let plane = L::load(plane.as_ptr().add(4 * first));
            match B::Points::table() {
                Table::Eights(points) => {
                    let words = words::<L>(indices[0], first);
                    unroll!(K in [0 1 2 3] {
                        let parts = L::eights(points.as_ptr(), |row| usize::from((words[row] >> (16 * K)) as u16));
                        unroll!(I in [0 1] {
                            let g = 2 * K + I;
                            L::store(to.add(64 * g), B::Points::PLANE.codes::<L>(parts[I], plane, g, offset));
                        });
                    });
                }
                Table::Fours(points) => {
                    unroll!(V in [0 1] {
                        let words = words::<L>(indices[V], first);
                        unroll!(K in [0 1 2 3] {
                            let g = 4 * V + K;
                            let values = L::fours(points.as_ptr(), |row| usize::from((words[row] >> (16 * K)) as u16));
                            L::store(to.add(64 * g), B::Points::PLANE.codes::<L>(values, plane, g, offset));
                        });
                    });
                }
            }
        }
    }
}

/// The indices of rows `first..first + ROWS`, four of each in a word.
#[inline(always)]
fn words<L: Lanes>(indices: &Indices, first: usize) -> [u64; STRIP] {
    let mut words = [0; STRIP];
    for (word, indices) in words.iter_mut().zip(&indices[first..]).take(L::ROWS) {
        *word = u64::from_le_bytes(*indices);
    }
    words
}

/// The bytes of the words.
#[inline(always)]
fn bytes(words: &Words) -> Vector {
    let mut bytes = [0; 64];
    for (bytes, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests;
