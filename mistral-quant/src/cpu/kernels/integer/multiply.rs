//! The products of a group with all blocks of columns.

use super::TOGETHER;
use super::activation::{Columns, WORDS};
use super::codes::Codes;
use super::lanes::{Lanes, block_width, prefetch};
use super::pair::{PAIR_COLUMNS, Pair};
use super::tile::{Block, Grouping, Scales, UNITS};
use crate::cpu::kernels::strip::Sums;

/// Memory to ask for, a few lines in each unit: a burst would fill the processor's queue of misses and hold up the loads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ahead {
    from: *const u8,
    /// Cache lines in a unit.
    lines: usize,
}

impl Ahead {
    pub(super) const NOTHING: Self = Self { from: std::ptr::null(), lines: 0 };

    /// All `bytes` from `from` on, in `units` units.
    pub(super) fn of(from: *const u8, bytes: usize, units: usize) -> Self {
        Self { from, lines: bytes.div_ceil(64).div_ceil(units.max(1)) }
    }

    /// Asks for the share of unit `u`.
    #[inline(always)]
    pub(super) fn ask(self, u: usize) {
        let start = self.from.wrapping_add(64 * self.lines * u);
        (0..self.lines).for_each(|line| prefetch(start.wrapping_add(64 * line)));
    }
}

/// A group of units whose codes are multiplied.
#[derive(Clone, Copy)]
pub(super) struct Group<'a> {
    pub(super) scales: &'a Scales,
    /// Subtracted from every code.
    pub(super) offset: i32,
    /// The first unit, of those of a row.
    pub(super) first: usize,
    /// At most [`UNITS`].
    pub(super) units: usize,
    /// What comes later, to be asked for while this is multiplied.
    pub(super) ahead: Ahead,
}

/// Adds the products of a group with all columns to the sums. `MANY` says whether there may be more than [`FEW`](super::FEW) columns.
///
/// # Safety
/// The processor has the instruction set; `codes` has `group.units` units, and `columns` has units
/// `group.first..group.first + group.units`.
#[inline(never)]
pub(super) unsafe fn multiply<L: Lanes, C: Codes, G: Grouping, const MANY: bool>(
    codes: &[u8],
    mut group: Group<'_>,
    columns: Columns<'_>,
    sums: &mut [Sums],
) {
    let mut words = columns.words;
    let mut rest = sums;
    while !rest.is_empty() {
        let width = block_width(rest.len(), L::COLUMNS);
        let Some((block, behind)) = words.split_at_checked(WORDS * width * columns.units) else { return };
        let (sums, others) = rest.split_at_mut(width);
        (words, rest) = (behind, others);
        // SAFETY: by the caller.
        unsafe { multiply_block::<L, C, G, MANY>(codes, group, block, sums) };
        group.ahead = Ahead::NOTHING;
    }
}

/// As [`multiply`], for two strips whose sums come one after the other, and more than [`FEW`](super::FEW) columns; meanwhile `bytes` from each
/// of `next` on are asked for.
///
/// # Safety
/// As there; the set has [`Lanes::PAIRS`].
#[inline(never)]
pub(super) unsafe fn multiply_pair<L: Lanes, C: Codes, G: Grouping>(
    strips: [(&[u8], Group<'_>); TOGETHER],
    columns: Columns<'_>,
    sums: &mut [Sums],
    mut next: [*const u8; TOGETHER],
    bytes: usize,
) {
    let [(low, low_group), (high, high_group)] = strips;
    let Group { offset, first, units, .. } = low_group;
    debug_assert!(low.len().min(high.len()) >= units * C::UNIT_BYTES && units <= UNITS);
    let mut words = columns.words;
    let (mut low_rest, mut high_rest) = sums.split_at_mut(sums.len() / TOGETHER);
    let steps = low_rest.len() / PAIR_COLUMNS * Pair::steps(units);
    let lines = bytes.div_ceil(64).div_ceil(steps.max(1));
    while !low_rest.is_empty() && low_rest.len() == high_rest.len() {
        let width = block_width(low_rest.len(), L::COLUMNS);
        let Some((block, behind)) = words.split_at_checked(WORDS * width * columns.units) else { return };
        let (low_sums, low_others) = low_rest.split_at_mut(width);
        let (high_sums, high_others) = high_rest.split_at_mut(width);
        (words, low_rest, high_rest) = (behind, low_others, high_others);
        // SAFETY: by the caller.
        unsafe {
            if let Ok(low_sums) = <&mut [Sums; PAIR_COLUMNS]>::try_from(&mut *low_sums)
                && let Ok(high_sums) = <&mut [Sums; PAIR_COLUMNS]>::try_from(&mut *high_sums)
            {
                L::pair::<C, G>(Pair {
                    codes: [low.as_ptr(), high.as_ptr()],
                    scales: [low_group.scales, high_group.scales],
                    offset,
                    units,
                    columns: block.as_ptr().wrapping_add(WORDS * width * first),
                    sums: [low_sums, high_sums],
                    next,
                    lines,
                });
                next = next.map(|next| next.wrapping_add(64 * lines * Pair::steps(units)));
            } else {
                multiply_block::<L, C, G, true>(low, low_group, block, low_sums);
                multiply_block::<L, C, G, true>(high, high_group, block, high_sums);
            }
        }
    }
}

/// Adds the products of a group with one block of columns to the sums.
///
/// # Safety
/// As for [`multiply`]; `block` is all units of as many columns as there are sums.
#[inline(always)]
pub(super) unsafe fn multiply_block<L: Lanes, C: Codes, G: Grouping, const MANY: bool>(
    codes: &[u8],
    group: Group<'_>,
    block: &[u32],
    sums: &mut [Sums],
) {
    let Group { scales, offset, first, units, ahead } = group;
    debug_assert!(codes.len() >= units * C::UNIT_BYTES && units <= UNITS);
    let width = sums.len();
    let columns = block.as_ptr().wrapping_add(WORDS * width * first);
    let block = Block { codes: codes.as_ptr(), scales, offset, units, ahead, columns, sums };
    // SAFETY: by the caller.
    unsafe {
        match width {
            1 => block.run::<L, C, G, 1>(),
            2 => block.run::<L, C, G, 2>(),
            4 => block.run::<L, C, G, 4>(),
            _ if MANY => L::wide::<C, G>(block),
            _ => (),
        }
    }
}
