//! The product of a group of 16 rows with a block of columns, from packed codes or from expanded ones.

use std::marker::PhantomData;

use super::codes::Codes;
use super::lanes::{Lanes, Operation, run_length, unroll};
use crate::cpu::activations::WORDS;
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

/// Adds the products of up to [`UNITS`] units with `N` columns to the sums of the columns.
pub(crate) struct Tile<'a, C, const N: usize> {
    /// `units` units of `C::UNIT_BYTES`.
    pub(crate) codes: *const u8,
    pub(crate) scales: &'a Scales,
    pub(crate) units: usize,
    /// The first of these units in a block of `N` columns: `WORDS * N` words a unit.
    pub(crate) columns: *const u32,
    pub(crate) sums: &'a mut [Sums; N],
    pub(crate) class: PhantomData<C>,
}

impl<C: Codes, const N: usize> Operation for Tile<'_, C, N> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let sums = self.sums.as_mut_ptr().cast::<[f32; STRIP]>();
        let units = self.units.min(UNITS);
        for part in 0..STRIP / L::ROWS {
            let first = part * L::ROWS;
            // SAFETY: `first` is below 16, so that rows `first..first + ROWS` lie inside every array of 16 rows; codes and columns
            // are as long as the fields say.
            unsafe {
                let mut totals = [L::floats(0.0); N];
                for i in 0..N {
                    totals[i] = L::load_floats((*sums.add(i)).as_ptr().add(first));
                }
                for u in 0..units {
                    let unit = self.codes.add(u * C::UNIT_BYTES + 4 * first);
                    let x = self.columns.add(u * WORDS * N);
                    if C::HALVES {
                        half::<L, C, N, 0>(unit, x, &self.scales.scales[u], &self.scales.mins[u], first, &mut totals);
                        half::<L, C, N, 1>(unit, x, &self.scales.scales[u], &self.scales.mins[u], first, &mut totals);
                    } else {
                        half::<L, C, N, 2>(unit, x, &self.scales.scales[u], &self.scales.mins[u], first, &mut totals);
                    }
                }
                for (i, &total) in totals.iter().enumerate() {
                    L::store_floats((*sums.add(i)).as_mut_ptr().add(first), total);
                }
            }
        }
    }
}

/// The first or the last half of a unit, or (`PART == 2`) all of it.
///
/// # Safety
/// As for [`Tile`]; `unit` and `x` point to one unit.
#[inline(always)]
unsafe fn half<L: Lanes, C: Codes, const N: usize, const PART: usize>(
    unit: *const u8,
    x: *const u32,
    scales: &[[f32; STRIP]; 2],
    mins: &[[f32; STRIP]; 2],
    first: usize,
    totals: &mut [L::Floats; N],
) {
    let signed = const { C::MAX_CODE == 128 };
    let run = const { run_length(C::MAX_CODE) }.min(if PART == 2 { 8 } else { 4 });
    let offset = if signed && L::BIASED { 128 } else { C::OFFSET };
    // SAFETY: 8 vectors of codes, and of each column 8 words of codes, then scale, scaled sum and two sums.
    unsafe {
        let mut isums = [L::ints(0); N];
        let mut products = [L::ints(0); N];
        if offset != 0 {
            for i in 0..N {
                let sum = if PART == 2 {
                    integer(x.add(10 * N + i)) + integer(x.add(11 * N + i))
                } else {
                    integer(x.add((10 + PART) * N + i))
                };
                isums[i] = L::ints(sum.wrapping_mul(-offset));
            }
        }
        unroll!(G in [0 1 2 3 4 5 6 7] {
            if PART == 2 || PART == G / 4 {
                let codes = C::vector::<L>(unit, G);
                for i in 0..N {
                    if G % run == 0 {
                        products[i] = L::start(isums[i]);
                    }
                    products[i] = L::multiply_add(signed, products[i], codes, x.add(G * N + i));
                    if G % run == run - 1 {
                        isums[i] = L::finish(isums[i], products[i]);
                    }
                }
            }
        });
        let scale = L::load_floats(scales[PART % 2].as_ptr().add(first));
        let min = L::load_floats(mins[PART % 2].as_ptr().add(first));
        for i in 0..N {
            let both = L::multiply(scale, L::floats(float(x.add(8 * N + i))));
            totals[i] = L::fused(L::to_floats(isums[i]), both, totals[i]);
            if C::MINS {
                let sum = if PART == 2 {
                    float(x.add(9 * N + i))
                } else {
                    float(x.add(8 * N + i)) * integer(x.add((10 + PART) * N + i)) as f32
                };
                totals[i] = L::fused_less(min, L::floats(sum), totals[i]);
            }
        }
    }
}

#[inline(always)]
unsafe fn integer(word: *const u32) -> i32 {
    // SAFETY: by the caller.
    unsafe { *word as i32 }
}

#[inline(always)]
unsafe fn float(word: *const u32) -> f32 {
    // SAFETY: by the caller.
    f32::from_bits(unsafe { *word })
}
