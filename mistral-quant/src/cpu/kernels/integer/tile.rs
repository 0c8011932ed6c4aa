//! The product of a group of 16 rows with a block of columns, from packed codes or from expanded ones.

#![allow(clippy::needless_range_loop)] // Loops over register arrays stay plain: what must be unrolled should look unrollable.

use std::marker::PhantomData;

use super::activation::WORDS;
use super::codes::Codes;
use super::lanes::{Lanes, Operation, run_length, unroll};
use super::multiply::Ahead;
use crate::cpu::kernels::strip::{STRIP, Sums};

/// Units of a group.
pub(crate) const UNITS: usize = 8;

/// Scales and mins of a group as f32.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Scales {
    /// For each unit the scales of its halves, of which formats without halves use the first.
    pub(crate) scales: [[[f32; STRIP]; 2]; UNITS],
    /// Mins, likewise; left alone by formats without.
    pub(crate) mins: [[[f32; STRIP]; 2]; UNITS],
}

impl Scales {
    pub(crate) const ZERO: Self = Self { scales: [[[0.0; STRIP]; 2]; UNITS], mins: [[[0.0; STRIP]; 2]; UNITS] };
}

/// How scales and mins are shared out.
pub(crate) trait Grouping: 'static {
    /// Whether halves of a unit have scales (and mins) of their own.
    const HALVES: bool;
    /// Whether there are mins.
    const MINS: bool;
    /// Whether there may be an offset.
    const OFFSET: bool;
}

/// A scale for each unit.
pub(crate) struct Units;

/// A scale and a min for each unit, and no offset.
pub(crate) struct UnitsWithMins;

/// A scale for each half of a unit.
pub(crate) struct Halves;

/// A scale and a min for each half of a unit, and no offset.
pub(crate) struct HalvesWithMins;

/// All there can be.
pub(crate) struct Everything;

impl Grouping for Units {
    const HALVES: bool = false;
    const MINS: bool = false;
    const OFFSET: bool = true;
}

impl Grouping for UnitsWithMins {
    const HALVES: bool = false;
    const MINS: bool = true;
    const OFFSET: bool = false;
}

impl Grouping for Halves {
    const HALVES: bool = true;
    const MINS: bool = false;
    const OFFSET: bool = true;
}

impl Grouping for HalvesWithMins {
    const HALVES: bool = true;
    const MINS: bool = true;
    const OFFSET: bool = false;
}

impl Grouping for Everything {
    const HALVES: bool = true;
    const MINS: bool = true;
    const OFFSET: bool = true;
}

/// Up to [`UNITS`] units and a block of columns.
pub(crate) struct Block<'a> {
    /// `units` units of a class of codes.
    pub(crate) codes: *const u8,
    pub(crate) scales: &'a Scales,
    /// Subtracted from every code, if [`Grouping::OFFSET`].
    pub(crate) offset: i32,
    pub(crate) units: usize,
    /// What is asked for meanwhile.
    pub(crate) ahead: Ahead,
    /// The first of these units in a block of as many columns as there are sums: [`WORDS`] words a unit and column.
    pub(crate) columns: *const u32,
    pub(crate) sums: &'a mut [Sums],
}

impl Block<'_> {
    /// Adds the products to the sums, if there are `N` of them.
    ///
    /// # Safety
    /// The processor has the instruction set; codes and columns are as long as the fields say.
    #[inline(always)]
    pub(crate) unsafe fn run<L: Lanes, C: Codes, G: Grouping, const N: usize>(self) {
        let Self { codes, scales, offset, units, ahead, columns, sums } = self;
        if let Ok(sums) = <&mut [Sums; N]>::try_from(sums) {
            let tile = Tile::<C, G, N> { codes, scales, offset, units, ahead, columns, sums, class: PhantomData };
            // SAFETY: by the caller.
            unsafe { L::enter(tile) };
        }
    }
}

/// A [`Block`] of `N` columns, whose codes are of class `C` and scales are shared out as `G` says.
struct Tile<'a, C, G, const N: usize> {
    codes: *const u8,
    scales: &'a Scales,
    offset: i32,
    units: usize,
    ahead: Ahead,
    columns: *const u32,
    sums: &'a mut [Sums; N],
    class: PhantomData<(C, G)>,
}

impl<C: Codes, G: Grouping, const N: usize> Operation for Tile<'_, C, G, N> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        // SAFETY: by the caller; `L::REGISTERS` is one of these.
        unsafe {
            match L::REGISTERS {
                1 => self.registers::<L, 1>(),
                2 => self.registers::<L, 2>(),
                _ => self.registers::<L, 4>(),
            }
        }
    }
}

impl<C: Codes, G: Grouping, const N: usize> Tile<'_, C, G, N> {
    /// All rows, `R` registers of them at a time, so that `R` code vectors share an activation.
    #[inline(always)]
    unsafe fn registers<L: Lanes, const R: usize>(&mut self) {
        let sums = self.sums.as_mut_ptr().cast::<[f32; STRIP]>();
        let units = self.units.min(UNITS);
        let mut first = 0;
        while first + R * L::ROWS <= STRIP {
            // SAFETY: rows `first..first + R * ROWS` lie inside every array of 16 rows; codes and columns are as long as the
            // fields say.
            unsafe {
                let mut at = [sums.cast::<f32>().wrapping_add(first); R];
                for r in 1..R {
                    at[r] = at[0].wrapping_add(r * L::ROWS);
                }
                let mut totals = Totals::<L, N, R>::load::<G>(at);
                for u in 0..units {
                    let unit = self.codes.wrapping_add(u * C::UNIT_BYTES + 4 * first);
                    let x = self.columns.wrapping_add(u * WORDS * N);
                    if first == 0 {
                        self.ahead.ask(u);
                    }
                    let mut registers = [Register::of(unit, self.scales, u, first); R];
                    for r in 1..R {
                        let rows = r * L::ROWS;
                        registers[r] = Register::of(unit.wrapping_add(4 * rows), self.scales, u, first + rows);
                    }
                    unit_product::<L, C, G, N, N, R>(&registers, x, self.offset, &mut totals);
                }
                totals.store::<G>();
            }
            first += R * L::ROWS;
        }
    }
}

/// A unit of the rows that one register holds.
#[derive(Clone, Copy)]
pub(super) struct Register {
    /// Moved on to the first of the rows.
    codes: *const u8,
    /// Scales and mins of the halves, likewise.
    scales: [*const f32; 2],
    mins: [*const f32; 2],
}

impl Register {
    /// Unit `u` from row `first` on.
    #[inline(always)]
    pub(super) fn of(codes: *const u8, scales: &Scales, u: usize, first: usize) -> Self {
        let from = |halves: &[[f32; STRIP]; 2]| [0, 1].map(|half: usize| halves[half].as_ptr().wrapping_add(first));
        Self { codes, scales: from(&scales.scales[u]), mins: from(&scales.mins[u]) }
    }
}

/// One unit of `R` registers and `N` columns that lie in a block of `WIDTH`, added to the floats at `sums`, for each register and
/// [`STRIP`] further on for each column. Where a unit has one scale they are taken to `totals` before the first unit and written back
/// after the last one ([`Totals`]); where halves have their own, the sum of a unit takes their registers.
///
/// # Safety
/// The processor has the instruction set; `registers` and `x` point to one unit, `sums` to a register of floats for each column.
#[inline(always)]
pub(super) unsafe fn unit_product<
    L: Lanes,
    C: Codes,
    G: Grouping,
    const N: usize,
    const WIDTH: usize,
    const R: usize,
>(
    registers: &[Register; R],
    x: *const u32,
    offset: i32,
    totals: &mut Totals<L, N, R>,
) {
    // SAFETY: by the caller.
    unsafe {
        if !G::HALVES {
            let isums = integers::<L, C, G, N, WIDTH, R, 2>(registers, x, offset);
            for i in 0..N {
                let x_scale = L::floats(float(x.wrapping_add(8 * WIDTH + i)));
                let x_sum = L::floats(float(x.wrapping_add(9 * WIDTH + i)));
                for r in 0..R {
                    let both = L::multiply(L::load_floats(registers[r].scales[0]), x_scale);
                    let total = &mut totals.sums[i][r];
                    *total = L::fused(L::to_floats(isums[i][r]), both, *total);
                    if G::MINS {
                        *total = L::fused_less(L::load_floats(registers[r].mins[0]), x_sum, *total);
                    }
                }
            }
            return;
        }
        let mut unit = [[L::floats(0.0); R]; N];
        let isums = integers::<L, C, G, N, WIDTH, R, 0>(registers, x, offset);
        for i in 0..N {
            let x_sum = L::floats(integer(x.wrapping_add(10 * WIDTH + i)) as f32);
            for r in 0..R {
                unit[i][r] = L::multiply(L::to_floats(isums[i][r]), L::load_floats(registers[r].scales[0]));
                if G::MINS {
                    unit[i][r] = L::fused_less(L::load_floats(registers[r].mins[0]), x_sum, unit[i][r]);
                }
            }
        }
        let isums = integers::<L, C, G, N, WIDTH, R, 1>(registers, x, offset);
        for i in 0..N {
            let x_scale = L::floats(float(x.wrapping_add(8 * WIDTH + i)));
            let x_sum = L::floats(integer(x.wrapping_add(11 * WIDTH + i)) as f32);
            for r in 0..R {
                let (scale, min) = (registers[r].scales[1], registers[r].mins[1]);
                unit[i][r] = L::fused(L::to_floats(isums[i][r]), L::load_floats(scale), unit[i][r]);
                if G::MINS {
                    unit[i][r] = L::fused_less(L::load_floats(min), x_sum, unit[i][r]);
                }
                let total = totals.at[r].wrapping_add(STRIP * i);
                L::store_floats(total, L::fused(unit[i][r], x_scale, L::load_floats(total)));
            }
        }
    }
}

/// The sums of `R` registers and `N` columns.
pub(super) struct Totals<L: Lanes, const N: usize, const R: usize> {
    /// Of each register, [`STRIP`] floats further on for each column.
    at: [*mut f32; R],
    sums: [[L::Floats; R]; N],
}

impl<L: Lanes, const N: usize, const R: usize> Totals<L, N, R> {
    /// # Safety
    /// As for [`unit_product`].
    #[inline(always)]
    pub(super) unsafe fn load<G: Grouping>(at: [*mut f32; R]) -> Self {
        // SAFETY: by the caller.
        unsafe {
            let mut sums = [[L::floats(0.0); R]; N];
            if !G::HALVES {
                for i in 0..N {
                    for r in 0..R {
                        sums[i][r] = L::load_floats(at[r].wrapping_add(STRIP * i));
                    }
                }
            }
            Self { at, sums }
        }
    }

    /// # Safety
    /// As for [`unit_product`].
    #[inline(always)]
    pub(super) unsafe fn store<G: Grouping>(self) {
        if !G::HALVES {
            for i in 0..N {
                for r in 0..R {
                    // SAFETY: by the caller.
                    unsafe { L::store_floats(self.at[r].wrapping_add(STRIP * i), self.sums[i][r]) };
                }
            }
        }
    }
}

/// The exact sums of the first or the last half of a unit, or (`PART == 2`) of all of it.
///
/// # Safety
/// As for [`unit_product`].
#[inline(always)]
unsafe fn integers<
    L: Lanes,
    C: Codes,
    G: Grouping,
    const N: usize,
    const WIDTH: usize,
    const R: usize,
    const PART: usize,
>(
    registers: &[Register; R],
    x: *const u32,
    offset: i32,
) -> [[L::Ints; R]; N] {
    let signed = const { C::MAX_CODE == 128 };
    let run = const { run_length(C::MAX_CODE) }.min(if PART == 2 { 8 } else { 4 });
    // SAFETY: 8 vectors of codes, and of each column 8 words of codes, then scale, scaled sum and two sums.
    unsafe {
        let mut isums = [[L::ints(0); R]; N];
        let mut products = [[L::ints(0); R]; N];
        if G::OFFSET {
            for i in 0..N {
                let sum = if PART == 2 {
                    integer(x.wrapping_add(10 * WIDTH + i)) + integer(x.wrapping_add(11 * WIDTH + i))
                } else {
                    integer(x.wrapping_add((10 + PART) * WIDTH + i))
                };
                isums[i] = [L::ints(sum.wrapping_mul(-offset)); R];
            }
        }
        unroll!(V in [0 1 2 3 4 5 6 7] {
            if PART == 2 || PART == V / 4 {
                let mut codes = [C::vector::<L>(registers[0].codes, V); R];
                for r in 1..R {
                    codes[r] = C::vector::<L>(registers[r].codes, V);
                }
                for i in 0..N {
                    for r in 0..R {
                        if V.is_multiple_of(run) {
                            products[i][r] = L::start(isums[i][r]);
                        }
                        products[i][r] = L::multiply_add(signed, products[i][r], codes[r], x.wrapping_add(V * WIDTH + i));
                        if V % run == run - 1 {
                            isums[i][r] = L::finish(isums[i][r], products[i][r]);
                        }
                    }
                }
            }
        });
        isums
    }
}

#[inline(always)]
unsafe fn integer(word: *const u32) -> i32 {
    // SAFETY: by the caller.
    unsafe { word.read_unaligned() as i32 }
}

#[inline(always)]
unsafe fn float(word: *const u32) -> f32 {
    // SAFETY: by the caller.
    f32::from_bits(unsafe { word.read_unaligned() })
}
