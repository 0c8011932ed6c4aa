//! The integer product of panels and tokens.

use std::arch::x86_64::*;

use super::lanes::{broadcast, load, load_floats, prefetch, store_floats};
use super::panel::Repack;
use crate::cpu::activations::ActivationUnit;
use crate::cpu::kernels::strip::{Panel, ROWS, Strip, Sums, UNITS};
use crate::formats::{UNIT, with_grid};

/// See [`crate::cpu::kernels::Kernels::integer_strip`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn integer_strip(strip: Strip<'_>, tokens: &[ActivationUnit], sums: &mut [Sums]) {
    sums.fill(Sums::default());
    with_grid!(strip.format, B => strip_of::<B>(strip, tokens, sums), _ => ());
}

#[target_feature(enable = "avx2,fma,f16c")]
fn strip_of<B: Repack>(strip: Strip<'_>, tokens: &[ActivationUnit], sums: &mut [Sums]) {
    let units = strip.cols / UNIT;
    let mut panel = Panel::ZERO;
    for half in 0..strip.rows().div_ceil(ROWS) {
        let rows = strip.blocks::<B>(half);
        for first in (0..units).step_by(UNITS) {
            let count = UNITS.min(units - first);
            // Eight short streams that start anew every strip are too much for the prefetcher of the processor.
            let bytes = size_of::<B>() * (UNITS * UNIT / B::WEIGHTS);
            let start = first * UNIT / B::WEIGHTS;
            for row in &rows {
                prefetch(row, start * size_of::<B>() + ROWS * strip.row_bytes, bytes);
            }
            // SAFETY: this function has the features.
            unsafe { B::repack(&mut panel, &rows, first, count) };
            let column =
                |token: usize| tokens.get(token * units + first..token * units + first + count).unwrap_or_default();
            let (fours, rest) = sums.as_chunks_mut::<4>();
            let (twos, ones) = rest.as_chunks_mut::<2>();
            let mut t = 0;
            for sums in fours {
                tile::<B, 4>(&panel, [column(t), column(t + 1), column(t + 2), column(t + 3)], sums, half);
                t += 4;
            }
            for sums in twos {
                tile::<B, 2>(&panel, [column(t), column(t + 1)], sums, half);
                t += 2;
            }
            for sums in ones {
                tile::<B, 1>(&panel, [column(t)], std::array::from_mut(sums), half);
            }
        }
    }
}

/// Adds the units of one panel to the sums of `N` tokens.
#[target_feature(enable = "avx2,fma,f16c")]
fn tile<B: Repack, const N: usize>(panel: &Panel, columns: [&[ActivationUnit]; N], sums: &mut [Sums; N], half: usize) {
    let mut totals = [_mm256_setzero_ps(); N];
    for c in 0..N {
        totals[c] = load_floats(&sums[c][half]);
    }
    let count = columns[0].len();
    if columns.iter().any(|column| column.len() != count) {
        return;
    }
    for (u, weights) in panel.units.iter().enumerate().take(count) {
        let parts = if B::HALVES { 2 } else { 1 };
        for part in 0..parts {
            let mut isums = [_mm256_setzero_si256(); N];
            let groups = weights.codes.len() / parts;
            for run in weights.codes[part * groups..(part + 1) * groups].chunks(run_length::<B>()).enumerate() {
                let first = part * groups + run.0 * run_length::<B>();
                let mut products = [_mm256_setzero_si256(); N];
                for (g, codes) in run.1.iter().enumerate() {
                    let codes = load(codes);
                    for c in 0..N {
                        let product = multiply::<B>(codes, broadcast(columns[c][u].codes[first + g]));
                        products[c] = if g == 0 { product } else { _mm256_add_epi16(products[c], product) };
                    }
                }
                for c in 0..N {
                    isums[c] = _mm256_add_epi32(isums[c], _mm256_madd_epi16(products[c], _mm256_set1_epi16(1)));
                }
            }
            let scales = load_floats(&weights.scales[part]);
            let mins = load_floats(&weights.mins[part]);
            for c in 0..N {
                let unit = &columns[c][u];
                let sum = if B::HALVES { unit.sums[part] } else { unit.sums[0] + unit.sums[1] };
                if B::OFFSET != 0 {
                    isums[c] = _mm256_sub_epi32(isums[c], _mm256_set1_epi32(i32::from(B::OFFSET) * sum));
                }
                let scale = _mm256_mul_ps(scales, _mm256_set1_ps(unit.scale));
                totals[c] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(isums[c]), scale, totals[c]);
                if B::MINS {
                    let sum = if B::HALVES { unit.scale * sum as f32 } else { unit.scaled_sum };
                    totals[c] = _mm256_fnmadd_ps(mins, _mm256_set1_ps(sum), totals[c]);
                }
            }
        }
    }
    for c in 0..N {
        store_floats(&mut sums[c][half], totals[c]);
    }
}

/// How many products of two codes fit into 16 bits, at most 8: `floor(32767 / (2 * MAX_CODE * 127))`.
#[inline]
const fn run_length<B: Repack>() -> usize {
    let exact = 32767 / (2 * B::MAX_CODE * 127);
    match exact {
        8.. => 8,
        4..8 => 4,
        2..4 => 2,
        _ => 1,
    }
}

/// Sums of two products in 16 bits.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn multiply<B: Repack>(codes: __m256i, activations: __m256i) -> __m256i {
    if B::MAX_CODE == 128 {
        // The magnitude of -128 is 128 as an unsigned byte, and activations are never -128, so both steps are exact:
        // 2 * 128 * 127 is below 2^15.
        _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(activations, codes))
    } else {
        _mm256_maddubs_epi16(codes, activations)
    }
}
