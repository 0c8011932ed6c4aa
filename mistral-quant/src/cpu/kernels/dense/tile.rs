//! The register tile: two vectors of rows times up to a group of tokens.

use half::{bf16, f16};

use crate::cpu::kernels::lanes::FloatLanes;

/// What the elements of weights are, and how they are multiplied.
pub(super) trait Number {
    /// An element in memory.
    type Stored: Copy;
    /// Whether elements are multiplied as they are stored.
    const AS_STORED: bool = false;

    /// `LANES` elements in registers. Must be `#[inline(always)]`.
    ///
    /// # Safety
    /// They must be readable.
    unsafe fn load<L: FloatLanes>(lanes: L, from: *const Self::Stored) -> L::Vector;

    /// `total` and the products of loaded elements with an element of packed activations. Must be `#[inline(always)]`.
    #[inline(always)]
    fn multiply<L: FloatLanes>(lanes: L, weights: L::Vector, x: L::Vector, total: L::Vector) -> L::Vector {
        lanes.fma(weights, x, total)
    }
}

impl Number for f32 {
    type Stored = Self;
    const AS_STORED: bool = true;

    #[inline(always)]
    unsafe fn load<L: FloatLanes>(lanes: L, from: *const Self) -> L::Vector {
        // SAFETY: by the caller.
        unsafe { lanes.load(from) }
    }
}

impl Number for f16 {
    type Stored = Self;

    #[inline(always)]
    unsafe fn load<L: FloatLanes>(lanes: L, from: *const Self) -> L::Vector {
        // SAFETY: by the caller.
        unsafe { lanes.load_f16(from) }
    }
}

impl Number for bf16 {
    type Stored = Self;

    #[inline(always)]
    unsafe fn load<L: FloatLanes>(lanes: L, from: *const Self) -> L::Vector {
        // SAFETY: by the caller.
        unsafe { lanes.load_bf16(from) }
    }
}

/// Two bf16 of a row in a word, which is stored and loaded as an f32 of the same bits.
pub(super) struct Pair;

impl Number for Pair {
    type Stored = f32;
    const AS_STORED: bool = true;

    #[inline(always)]
    unsafe fn load<L: FloatLanes>(lanes: L, from: *const f32) -> L::Vector {
        // SAFETY: by the caller.
        unsafe { lanes.load(from) }
    }

    #[inline(always)]
    fn multiply<L: FloatLanes>(lanes: L, weights: L::Vector, x: L::Vector, total: L::Vector) -> L::Vector {
        lanes.dot_bf16(weights, x, total)
    }
}

/// How many bytes before their use weights are asked for. The prefetchers of processors stop at the ends of pages; on a Zen 5, 8 KiB
/// made products of BF16 with 1 to 8 tokens 5 to 20 % faster than none, and 16 KiB made those with one token slower.
const AHEAD: usize = 8192;

/// Adds the products of a block of weights `[columns, rows]` and a group of packed tokens `[columns, tokens]` to `sums`
/// `[tokens, rows]`. `STREAM` says that the weights come from memory rather than from the cache.
#[inline(always)]
pub(super) fn add<L: FloatLanes, T: Number, const STREAM: bool>(
    lanes: L,
    weights: &[T::Stored],
    packed: &[f32],
    sums: &mut [f32],
) {
    let rows = 2 * L::LANES;
    let (columns, tokens) = (weights.len() / rows, sums.len() / rows);
    if packed.len() != columns * tokens {
        debug_assert!(false, "{} activations for {columns} x {tokens}", packed.len());
        return;
    }
    // SAFETY: the three slices have the lengths that the tile demands.
    unsafe {
        match tokens {
            1 => tile::<L, T, 1, STREAM>(lanes, weights, packed, sums),
            2 => tile::<L, T, 2, STREAM>(lanes, weights, packed, sums),
            3 if super::group::<L>() >= 3 => tile::<L, T, 3, STREAM>(lanes, weights, packed, sums),
            4 if super::group::<L>() >= 4 => tile::<L, T, 4, STREAM>(lanes, weights, packed, sums),
            5 if super::group::<L>() >= 5 => tile::<L, T, 5, STREAM>(lanes, weights, packed, sums),
            6 if super::group::<L>() >= 6 => tile::<L, T, 6, STREAM>(lanes, weights, packed, sums),
            7 if super::group::<L>() >= 7 => tile::<L, T, 7, STREAM>(lanes, weights, packed, sums),
            8 if super::group::<L>() >= 8 => tile::<L, T, 8, STREAM>(lanes, weights, packed, sums),
            9 if super::group::<L>() >= 9 => tile::<L, T, 9, STREAM>(lanes, weights, packed, sums),
            10 if super::group::<L>() >= 10 => tile::<L, T, 10, STREAM>(lanes, weights, packed, sums),
            11 if super::group::<L>() >= 11 => tile::<L, T, 11, STREAM>(lanes, weights, packed, sums),
            12 if super::group::<L>() >= 12 => tile::<L, T, 12, STREAM>(lanes, weights, packed, sums),
            _ => debug_assert!(false, "{tokens} tokens in a group"),
        }
    }
}

/// # Safety
/// With `columns` of `weights.len() / (2 * LANES)`: `packed` must have `columns * N` elements and `sums` `N * 2 * LANES`.
#[inline(always)]
unsafe fn tile<L: FloatLanes, T: Number, const N: usize, const STREAM: bool>(
    lanes: L,
    weights: &[T::Stored],
    packed: &[f32],
    sums: &mut [f32],
) {
    let rows = 2 * L::LANES;
    let columns = weights.len() / rows;
    let mut totals = [[lanes.zero(); 2]; N];
    let (mut weights, mut x) = (weights.as_ptr(), packed.as_ptr());
    for _ in 0..columns {
        if STREAM {
            for line in (0..rows * size_of::<T::Stored>()).step_by(64) {
                lanes.prefetch(weights.cast::<u8>().wrapping_add(AHEAD + line));
            }
        }
        // SAFETY: one of `columns` columns of the weights and of the activations.
        unsafe {
            let (low, high) = (T::load(lanes, weights), T::load(lanes, weights.add(L::LANES)));
            for (token, total) in totals.iter_mut().enumerate() {
                let value = lanes.splat(*x.add(token));
                total[0] = T::multiply(lanes, low, value, total[0]);
                total[1] = T::multiply(lanes, high, value, total[1]);
            }
            weights = weights.add(rows);
            x = x.add(N);
        }
    }
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
