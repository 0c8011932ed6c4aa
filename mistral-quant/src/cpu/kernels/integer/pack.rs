//! From blocks of 16 rows to a packed group, and from the header of a packed group to scales.
//!
//! Nothing is lost or rounded; a header holds the bytes of the blocks, word by word (of NVFP4 as [`tables`] says).

#![allow(clippy::needless_range_loop)] // Rows of several arrays are walked together.

pub(crate) mod bits;
mod k_quants;
pub(crate) mod scales;
mod signs;
mod tables;
mod units;

use std::marker::PhantomData;

use super::books::vbmi::Vbmi;
use super::codes::Codes;
use super::groups::Expand;
use super::lanes::{Lanes, Operation};
use super::tile::{Grouping, Scales, UNITS};
use crate::cpu::kernels::strip::STRIP;
use crate::formats::{Grid, UNIT};

/// A vector of codes: 4 bytes of 16 rows.
pub(super) type Vector = [u8; 64];

/// Codes of a group, 8 bits each.
pub(super) type Panel = [Vector; 8 * UNITS];

/// A block format with a packed form.
pub(crate) trait Pack: Grid {
    /// How its codes are packed.
    type Codes: Codes;
    /// The same codes, expanded; the class may allow for larger ones.
    type Expanded: Codes;
    /// How its scales and mins are shared out.
    type Grouping: Grouping;
    /// Bytes of scales and mins: of a whole group for formats of 256 weights a block, of a unit for the others.
    const HEADER: usize;
    /// Bytes of a unit of codes of 16 rows.
    const UNIT_BYTES: usize = <Self::Codes as Codes>::UNIT_BYTES;
    /// What stored codes are higher by than their values; signed ones are biased as [`Lanes::BIASED`] says instead.
    const STORED_OFFSET: i32 = Self::OFFSET as i32;
    /// Whether a tile can multiply with the codes as they are packed; if not, they are expanded for every number of columns.
    const DIRECT: bool = true;

    /// Packs blocks of 16 rows: a group for formats of 256 weights a block, a unit for the others. `header` and `codes` have the
    /// lengths of [`Layout`].
    ///
    /// # Safety
    /// Inside [`Lanes::enter`].
    unsafe fn pack<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]);

    /// Scales (and mins) of the first `units` units from the headers of a group.
    ///
    /// # Safety
    /// Inside [`Lanes::enter`].
    unsafe fn scales<L: Lanes>(header: &[u8], units: usize, scales: &mut Scales);

    /// Takes the codes of the first `units` units of a group out of their bits, as [`Pack::Expanded`] has them.
    ///
    /// # Safety
    /// The processor has the instruction set.
    unsafe fn expand<L: Lanes>(_: &[u8], codes: &[u8], units: usize, panel: &mut Panel, _: Option<Vbmi>) {
        // SAFETY: by the caller.
        unsafe { L::enter(Expand { packed: codes, units, panel, class: PhantomData::<Self::Codes> }) };
    }
}

/// Where things lie in a packed group: the header, from the next multiple of 64 the codes, unit by unit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    header: usize,
    per_block: usize,
    unit: usize,
}

impl Layout {
    pub(crate) const fn of<B: Pack>() -> Self {
        Self { header: B::HEADER, per_block: B::WEIGHTS / UNIT, unit: B::UNIT_BYTES }
    }

    /// Where the codes of a group of `units` start.
    pub(crate) const fn codes_at(self, units: usize) -> usize {
        (self.header * units.div_ceil(self.per_block)).next_multiple_of(64)
    }

    /// Bytes of a group of `units`.
    pub(crate) const fn group(self, units: usize) -> usize {
        self.codes_at(units) + self.unit * units
    }

    /// Bytes of a strip of `units`; `None` beyond 2^64.
    pub(crate) fn strip(self, units: usize) -> Option<usize> {
        (units / UNITS).checked_mul(self.group(UNITS))?.checked_add(self.group(units % UNITS))
    }
}

/// Packs units `first..first + units` of 16 rows into a group.
pub(super) struct PackGroup<'a, B> {
    pub(super) rows: &'a [&'a [B]; STRIP],
    pub(super) first: usize,
    pub(super) units: usize,
    /// As long as [`Layout::group`] says.
    pub(super) group: &'a mut [u8],
}

impl<B: Pack> Operation for PackGroup<'_, B> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let layout = const { Layout::of::<B>() };
        let Some((header, codes)) = self.group.split_at_mut_checked(layout.codes_at(self.units)) else { return };
        let codes = codes.as_chunks_mut::<64>().0.chunks_exact_mut(layout.unit * layout.per_block / 64);
        for (index, (header, codes)) in header.chunks_exact_mut(B::HEADER).zip(codes).enumerate() {
            let index = self.first / layout.per_block + index;
            let Some(block) = self.rows[0].get(index) else { return };
            let mut blocks = [block; STRIP];
            for (block, row) in blocks.iter_mut().zip(self.rows) {
                let Some(found) = row.get(index) else { return };
                *block = found;
            }
            // SAFETY: as this function.
            unsafe { B::pack::<L>(blocks, header, codes) };
        }
    }
}

/// Reads scales (and mins) out of the header of a group.
pub(super) struct ReadScales<'a, B> {
    pub(super) header: &'a [u8],
    pub(super) units: usize,
    pub(super) scales: &'a mut Scales,
    pub(super) block: PhantomData<B>,
}

impl<B: Pack> Operation for ReadScales<'_, B> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        // SAFETY: as this function.
        unsafe { B::scales::<L>(self.header, self.units, self.scales) };
    }
}
