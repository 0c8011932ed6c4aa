//! The groups of a strip: out of packed weights, or packed from blocks on the way.

use std::marker::PhantomData;

use super::codes::Codes;
use super::lanes::{Lanes, Operation, prefetch, unroll};
use super::multiply::Ahead;
use super::pack::{Layout, Pack, PackGroup, Panel, ReadScales, Vector};
use super::tile::{Scales, UNITS};
use super::{AHEAD, StripSource, StripSpace};
use crate::cpu::kernels::integer::books::vbmi::Vbmi;
use crate::cpu::kernels::strip::STRIP;
use crate::formats::{Grid, UNIT};

/// The groups of a strip, in order.
pub(super) struct Groups<'a, B> {
    source: StripSource<'a>,
    /// The rows, where they are blocks.
    rows: [&'a [B]; STRIP],
    /// The groups to come, where they are packed.
    rest: &'a [u8],
    /// Bytes of all groups, where they are packed.
    pub(super) bytes: usize,
}

impl<'a, B: Pack> Groups<'a, B> {
    pub(super) fn new(source: StripSource<'a>) -> Self {
        let (rows, rest) = match source {
            StripSource::Blocks(strip) => (strip.blocks::<B>(), &[][..]),
            StripSource::Packed(strip) => ([&[][..]; STRIP], strip.bytes),
        };
        Self { source, rows, rest, bytes: rest.len() }
    }

    /// The next group, and after the last one what is `distance` bytes behind the end of `last`.
    pub(super) fn next_or(&self, last: &Self, distance: usize) -> *const u8 {
        if self.rest.is_empty() { last.rest.as_ptr_range().end.wrapping_add(distance) } else { self.rest.as_ptr() }
    }

    /// As much as a group of `units` units, behind the last one that was taken by [`AHEAD`], where they are packed.
    #[inline(always)]
    pub(super) fn ahead(&self, units: usize) -> Ahead {
        match self.source {
            StripSource::Blocks(_) => Ahead::NOTHING,
            StripSource::Packed(_) => {
                Ahead::of(self.rest.as_ptr().wrapping_add(AHEAD), const { Layout::of::<B>() }.group(units), units)
            }
        }
    }

    /// Header and codes of the next group, which has units `first..first + units`; blocks are packed into `packed`. `None` if there
    /// is none, which cannot be.
    ///
    /// # Safety
    /// The processor has the instruction set.
    #[inline(always)]
    pub(super) unsafe fn next<'g, L: Lanes>(
        &mut self,
        first: usize,
        units: usize,
        packed: &'g mut [Vector],
    ) -> Option<(&'g [u8], &'g [u8])>
    where
        'a: 'g,
    {
        let layout = const { Layout::of::<B>() };
        let group = match self.source {
            StripSource::Blocks(strip) => {
                let group = packed.as_flattened_mut().get_mut(..layout.group(units))?;
                prefetch_rows(&self.rows, first, units, STRIP * strip.row_bytes);
                // SAFETY: by the caller.
                unsafe { L::Moves::enter(PackGroup { rows: &self.rows, first, units, group: &mut *group }) };
                &*group
            }
            StripSource::Packed(_) => {
                let (group, behind) = self.rest.split_at_checked(layout.group(units))?;
                self.rest = behind;
                group
            }
        };
        group.split_at_checked(layout.codes_at(units))
    }

    /// The next group's codes of class [`Lanes::Many`] of [`Pack::Expanded`], and its scales.
    ///
    /// # Safety
    /// As for `next`.
    #[inline(always)]
    pub(super) unsafe fn expand<'g, L: Lanes>(
        &mut self,
        first: usize,
        units: usize,
        vbmi: Option<Vbmi>,
        space: &'g mut StripSpace,
    ) -> Option<(&'g [u8], &'g Scales)>
    where
        'a: 'g,
    {
        let StripSpace { packed, codes: panel, scales } = space;
        // SAFETY: by the caller; as many units are expanded as there are.
        unsafe {
            let (header, codes) = self.next::<L>(first, units, packed)?;
            L::enter(ReadScales { header, units, scales: &mut *scales, block: PhantomData::<B> });
            if B::UNIT_BYTES == 512 && L::BIASED {
                // Signed codes are stored as such a set wants them.
                return Some((codes, scales));
            }
            B::expand::<L>(header, codes, units, panel, vbmi);
        }
        Some((panel.as_flattened(), scales))
    }
}

/// Asks for units `first..first + count` of the rows `distance` bytes further on. Sixteen short streams that start anew in every
/// strip are too much for the prefetcher of the processor.
#[inline(never)]
pub(super) fn prefetch_rows<B: Grid>(rows: &[&[B]; STRIP], first: usize, count: usize, distance: usize) {
    let (start, bytes) =
        (first * UNIT / B::WEIGHTS * size_of::<B>(), (count * UNIT).div_ceil(B::WEIGHTS) * size_of::<B>());
    for row in rows {
        let start = row.as_ptr().cast::<u8>().wrapping_add(start + distance);
        (0..bytes).step_by(64).for_each(|line| prefetch(start.wrapping_add(line)));
    }
}

/// Takes the codes of `units` units out of their bits.
pub(super) struct Expand<'a, C> {
    /// `units` units of `C::UNIT_BYTES`.
    pub(super) packed: &'a [u8],
    pub(super) units: usize,
    pub(super) panel: &'a mut Panel,
    pub(super) class: PhantomData<C>,
}

impl<C: Codes> Operation for Expand<'_, C> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        debug_assert!(self.packed.len() >= self.units * C::UNIT_BYTES && self.units <= UNITS);
        let panel = self.panel.as_mut_ptr().cast::<u8>();
        for u in 0..self.units.min(UNITS) {
            for part in 0..STRIP / L::ROWS {
                // SAFETY: 8 vectors a unit in both.
                unsafe {
                    let unit = self.packed.as_ptr().add(u * C::UNIT_BYTES + 4 * L::ROWS * part);
                    let to = panel.add(512 * u + 4 * L::ROWS * part);
                    unroll!(G in [0 1 2 3 4 5 6 7] { L::store(to.add(64 * G), C::vector::<L>(unit, G)) });
                }
            }
        }
    }
}
