//! The register tile: two vectors of rows times up to a group of tokens.

use crate::cpu::kernels::lanes::FloatLanes;

/// Adds the products of a panel `[columns, rows]` and a group of packed tokens `[columns, tokens]` to `sums` `[tokens, rows]`.
#[inline(always)]
pub(super) fn add<L: FloatLanes>(lanes: L, panel: &[f32], packed: &[f32], sums: &mut [f32]) {
    let rows = 2 * L::LANES;
    let (columns, tokens) = (panel.len() / rows, sums.len() / rows);
    if packed.len() != columns * tokens {
        debug_assert!(false, "{} activations for {columns} x {tokens}", packed.len());
        return;
    }
    // SAFETY: the three slices have the lengths that the tile demands.
    unsafe {
        match tokens {
            1 => tile::<L, 1>(lanes, panel, packed, sums),
            2 => tile::<L, 2>(lanes, panel, packed, sums),
            3 if super::group::<L>() >= 3 => tile::<L, 3>(lanes, panel, packed, sums),
            4 if super::group::<L>() >= 4 => tile::<L, 4>(lanes, panel, packed, sums),
            5 if super::group::<L>() >= 5 => tile::<L, 5>(lanes, panel, packed, sums),
            6 if super::group::<L>() >= 6 => tile::<L, 6>(lanes, panel, packed, sums),
            7 if super::group::<L>() >= 7 => tile::<L, 7>(lanes, panel, packed, sums),
            8 if super::group::<L>() >= 8 => tile::<L, 8>(lanes, panel, packed, sums),
            9 if super::group::<L>() >= 9 => tile::<L, 9>(lanes, panel, packed, sums),
            10 if super::group::<L>() >= 10 => tile::<L, 10>(lanes, panel, packed, sums),
            11 if super::group::<L>() >= 11 => tile::<L, 11>(lanes, panel, packed, sums),
            12 if super::group::<L>() >= 12 => tile::<L, 12>(lanes, panel, packed, sums),
            _ => debug_assert!(false, "{tokens} tokens in a group"),
        }
    }
}

/// # Safety
/// With `columns` of `panel.len() / (2 * LANES)`: `packed` must have `columns * N` elements and `sums` `N * 2 * LANES`.
#[inline(always)]
unsafe fn tile<L: FloatLanes, const N: usize>(lanes: L, panel: &[f32], packed: &[f32], sums: &mut [f32]) {
    let rows = 2 * L::LANES;
    let columns = panel.len() / rows;
    let mut totals = [[lanes.zero(); 2]; N];
    let (mut weights, mut x) = (panel.as_ptr(), packed.as_ptr());
    for _ in 0..columns {
        // SAFETY: one of `columns` columns of the panel and of the activations.
        unsafe {
            let (low, high) = (lanes.load(weights), lanes.load(weights.add(L::LANES)));
            for (token, total) in totals.iter_mut().enumerate() {
                let value = lanes.splat(*x.add(token));
                total[0] = lanes.fma(low, value, total[0]);
                total[1] = lanes.fma(high, value, total[1]);
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
