//! The register tile: two vectors of rows times up to a group of tokens.

use half::{bf16, f16};

use super::BLOCK;
use crate::cpu::kernels::lanes::FloatLanes;

/// A number that weights consist of.
pub(super) trait Number: Copy {
    /// `LANES` numbers, widened. Must be `#[inline(always)]`.
    ///
    /// # Safety
    /// They must be readable.
    unsafe fn load<L: FloatLanes>(lanes: L, from: *const Self) -> L::Vector;
}

impl Number for f32 {
    #[inline(always)]
    unsafe fn load<L: FloatLanes>(lanes: L, from: *const Self) -> L::Vector {
        // SAFETY: by the caller.
        unsafe { lanes.load(from) }
    }
}

impl Number for f16 {
    #[inline(always)]
    unsafe fn load<L: FloatLanes>(lanes: L, from: *const Self) -> L::Vector {
        // SAFETY: by the caller.
        unsafe { lanes.load_f16(from) }
    }
}

impl Number for bf16 {
    #[inline(always)]
    unsafe fn load<L: FloatLanes>(lanes: L, from: *const Self) -> L::Vector {
        // SAFETY: by the caller.
        unsafe { lanes.load_bf16(from) }
    }
}

/// Adds the products of weights `[columns, rows]` and a group of packed tokens `[columns, tokens]` to `sums` `[tokens, rows]`, block
/// after block of [`BLOCK`] columns.
#[inline(always)]
pub(super) fn add<L: FloatLanes, T: Number>(lanes: L, weights: &[T], packed: &[f32], sums: &mut [f32]) {
    let rows = 2 * L::LANES;
    let (columns, tokens) = (weights.len() / rows, sums.len() / rows);
    if packed.len() != columns * tokens {
        debug_assert!(false, "{} activations for {columns} x {tokens}", packed.len());
        return;
    }
    // SAFETY: the three slices have the lengths that the blocks demand.
    unsafe {
        match tokens {
            1 => blocks::<L, T, 1>(lanes, weights, packed, sums),
            2 => blocks::<L, T, 2>(lanes, weights, packed, sums),
            3 if super::group::<L>() >= 3 => blocks::<L, T, 3>(lanes, weights, packed, sums),
            4 if super::group::<L>() >= 4 => blocks::<L, T, 4>(lanes, weights, packed, sums),
            5 if super::group::<L>() >= 5 => blocks::<L, T, 5>(lanes, weights, packed, sums),
            6 if super::group::<L>() >= 6 => blocks::<L, T, 6>(lanes, weights, packed, sums),
            7 if super::group::<L>() >= 7 => blocks::<L, T, 7>(lanes, weights, packed, sums),
            8 if super::group::<L>() >= 8 => blocks::<L, T, 8>(lanes, weights, packed, sums),
            9 if super::group::<L>() >= 9 => blocks::<L, T, 9>(lanes, weights, packed, sums),
            10 if super::group::<L>() >= 10 => blocks::<L, T, 10>(lanes, weights, packed, sums),
            11 if super::group::<L>() >= 11 => blocks::<L, T, 11>(lanes, weights, packed, sums),
            12 if super::group::<L>() >= 12 => blocks::<L, T, 12>(lanes, weights, packed, sums),
            _ => debug_assert!(false, "{tokens} tokens in a group"),
        }
    }
}

/// All blocks: with few tokens several at a time, whose chains of sums run side by side; a single pair of chains would wait for
/// its own results more than for memory.
///
/// # Safety
/// With `columns` of `weights.len() / (2 * LANES)`: `packed` must have `columns * N` elements and `sums` `N * 2 * LANES`.
#[inline(always)]
unsafe fn blocks<L: FloatLanes, T: Number, const N: usize>(lanes: L, weights: &[T], packed: &[f32], sums: &mut [f32]) {
    let rows = 2 * L::LANES;
    let columns = weights.len() / rows;
    let mut first = 0;
    // SAFETY: each call has all of its columns.
    unsafe {
        if 2 * 4 * N <= L::REGISTERS / 2 {
            while columns - first >= 4 * BLOCK {
                tile::<L, T, N, 4>(lanes, &weights[first * rows..], &packed[first * N..], BLOCK, sums);
                first += 4 * BLOCK;
            }
        }
        if 2 * 2 * N <= L::REGISTERS / 2 {
            while columns - first >= 2 * BLOCK {
                tile::<L, T, N, 2>(lanes, &weights[first * rows..], &packed[first * N..], BLOCK, sums);
                first += 2 * BLOCK;
            }
        }
        while first < columns {
            let count = BLOCK.min(columns - first);
            tile::<L, T, N, 1>(lanes, &weights[first * rows..], &packed[first * N..], count, sums);
            first += count;
        }
    }
}

/// `K` blocks of `columns`, which are [`BLOCK`] unless `K` is 1.
///
/// # Safety
/// `weights` must have `K * columns * 2 * LANES` elements, `packed` `K * columns * N` and `sums` `N * 2 * LANES`.
#[inline(always)]
unsafe fn tile<L: FloatLanes, T: Number, const N: usize, const K: usize>(
    lanes: L,
    weights: &[T],
    packed: &[f32],
    columns: usize,
    sums: &mut [f32],
) {
    let rows = 2 * L::LANES;
    let mut totals = [[[lanes.zero(); 2]; N]; K];
    let (mut weights, mut x) = (weights.as_ptr(), packed.as_ptr());
    for _ in 0..columns {
        // SAFETY: one of `columns` columns of each block of weights and activations.
        unsafe {
            for (block, totals) in totals.iter_mut().enumerate() {
                let (weights, x) = (weights.add(block * BLOCK * rows), x.add(block * BLOCK * N));
                let (low, high) = (T::load(lanes, weights), T::load(lanes, weights.add(L::LANES)));
                for (token, total) in totals.iter_mut().enumerate() {
                    let value = lanes.splat(*x.add(token));
                    total[0] = lanes.fma(low, value, total[0]);
                    total[1] = lanes.fma(high, value, total[1]);
                }
            }
            weights = weights.add(rows);
            x = x.add(N);
        }
    }
    for totals in &totals {
        for (token, total) in totals.iter().enumerate() {
            // SAFETY: the rows of one of `N` tokens.
            unsafe {
                let sum = sums.as_mut_ptr().add(token * rows);
                lanes.store(sum, lanes.add(lanes.load(sum), total[0]));
                let sum = sum.add(L::LANES);
                lanes.store(sum, lanes.add(lanes.load(sum), total[1]));
            }
        }
    }
}
