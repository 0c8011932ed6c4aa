//! Two strips together, for sets whose registers hold a strip each.

#![cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] // There is no other such set.
#![allow(clippy::needless_range_loop)] // As in `tile`.

use std::marker::PhantomData;

use super::activation::WORDS;
use super::codes::Codes;
use super::lanes::{Lanes, Operation, prefetch};
use super::tile::{Grouping, Register, Scales, Totals, UNITS, unit_product};
use crate::cpu::kernels::strip::{STRIP, Sums};

/// Columns of a [`Pair`].
pub(crate) const PAIR_COLUMNS: usize = 12;

/// Up to [`UNITS`] units of two strips and a block of [`PAIR_COLUMNS`] columns. Where a register holds a strip, two strips share
/// each activation that is loaded, half of the columns after the other half.
pub(crate) struct Pair<'a> {
    /// As [`Block::codes`](super::tile::Block::codes), for each strip.
    pub(crate) codes: [*const u8; 2],
    pub(crate) scales: [&'a Scales; 2],
    pub(crate) offset: i32,
    pub(crate) units: usize,
    pub(crate) columns: *const u32,
    pub(crate) sums: [&'a mut [Sums; PAIR_COLUMNS]; 2],
    /// What each strip's next groups are read from, to be asked for a few lines at a time; a burst would fill the processor's
    /// queue of misses and hold up the loads.
    pub(crate) next: [*const u8; 2],
    /// Cache lines of each to ask for in one of [`Pair::steps`].
    pub(crate) lines: usize,
}

impl Pair<'_> {
    /// How often lines are asked for in a run over `units` units.
    pub(crate) const fn steps(units: usize) -> usize {
        2 * units
    }

    /// Adds the products to the sums.
    ///
    /// # Safety
    /// As for [`Block::run`](super::tile::Block::run); a register of the set holds 16 rows.
    #[inline(always)]
    pub(crate) unsafe fn run<L: Lanes, C: Codes, G: Grouping>(self) {
        // SAFETY: by the caller.
        unsafe { L::enter(PairTile::<C, G> { pair: self, class: PhantomData }) };
    }
}

/// A [`Pair`] whose codes are of class `C` and scales are shared out as `G` says.
struct PairTile<'a, C, G> {
    pair: Pair<'a>,
    class: PhantomData<(C, G)>,
}

impl<C: Codes, G: Grouping> Operation for PairTile<'_, C, G> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        const HALF: usize = PAIR_COLUMNS / 2;
        let Pair { codes, scales, offset, units, columns, sums: [low, high], mut next, lines } = self.pair;
        let sums = [low.as_mut_ptr().cast::<f32>(), high.as_mut_ptr().cast::<f32>()];
        for first in [0, HALF] {
            // SAFETY: 16 floats for each of the columns; codes and columns are as long as the fields say.
            unsafe {
                let at = sums.map(|sums| sums.wrapping_add(STRIP * first));
                let mut totals = Totals::<L, HALF, 2>::load::<G>(at);
                for u in 0..units.min(UNITS) {
                    let x = columns.wrapping_add(u * WORDS * PAIR_COLUMNS + first);
                    let at = u * C::UNIT_BYTES;
                    for _ in 0..lines {
                        for next in &mut next {
                            prefetch(*next);
                            *next = next.wrapping_add(64);
                        }
                    }
                    let registers = [
                        Register::of(codes[0].wrapping_add(at), scales[0], u, 0),
                        Register::of(codes[1].wrapping_add(at), scales[1], u, 0),
                    ];
                    unit_product::<L, C, G, HALF, PAIR_COLUMNS, 2>(&registers, x, offset, &mut totals);
                }
                totals.store::<G>();
            }
        }
    }
}
