//! F32, F16 and BF16 weights times f32 activations: weights are widened in registers, nothing is rounded before the product.
//!
//! Register tiles of 4 rows and up to 3 tokens, so that a weight is loaded and widened once for all tokens of the tile and an
//! activation once for 4 rows. Every output is one accumulator of 8 lanes over the columns in order and then one fixed tree
//! of sums, whatever the tile.

use std::arch::x86_64::*;

use super::lanes::{load_floats, load_half, prefetch, sum};
use crate::Format;
use crate::cpu::kernels::strip::{STRIP, Strip, Sums};
use crate::formats::{BF16, Block, F16, F32, blocks};

/// Tokens whose lanes are kept between the steps of a strip.
const GROUP: usize = 12;
/// Columns of a step, a multiple of 8: the weights of a strip and the activations of a group stay in a level 1 cache.
const STEP: usize = 256;
/// Rows of a register tile.
const TILE_ROWS: usize = 4;
/// Lanes of a register.
const LANES: usize = 8;

/// See [`crate::cpu::kernels::Kernels::float_strip`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn float_strip(strip: Strip<'_>, tokens: &[f32], sums: &mut [Sums]) {
    match strip.format {
        Format::F32 => strip_of::<F32>(strip, tokens, sums),
        Format::F16 => strip_of::<F16>(strip, tokens, sums),
        Format::BF16 => strip_of::<BF16>(strip, tokens, sums),
        _ => sums.fill(Sums::default()),
    }
}

/// Numbers that widen to f32 lanes.
trait Widen: Block {
    /// 8 numbers as f32.
    ///
    /// # Safety
    /// The processor must have AVX2, FMA and F16C.
    unsafe fn widen(values: &[Self; LANES]) -> __m256;
}

impl Widen for F32 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn widen(values: &[Self; LANES]) -> __m256 {
        // SAFETY: 32 readable bytes; the load needs no alignment.
        unsafe { _mm256_loadu_ps(values.as_ptr().cast()) }
    }
}

impl Widen for F16 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn widen(values: &[Self; LANES]) -> __m256 {
        _mm256_cvtph_ps(load_half(bytes_of(values)))
    }
}

impl Widen for BF16 {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn widen(values: &[Self; LANES]) -> __m256 {
        let wide = _mm256_cvtepu16_epi32(load_half(bytes_of(values)));
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
    }
}

/// The bytes of 8 numbers of 2 bytes.
#[inline]
fn bytes_of<B: Block>(values: &[B; LANES]) -> &[u8; 16] {
    const { assert!(size_of::<B>() == 2) };
    // SAFETY: a `Block` of 2 bytes has alignment 1 and no padding: 8 of them are 16 initialised bytes.
    unsafe { &*values.as_ptr().cast() }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn strip_of<B: Widen>(strip: Strip<'_>, tokens: &[f32], sums: &mut [Sums]) {
    let (cols, bytes) = (strip.cols, strip.row_bytes);
    let rows: [&[B]; STRIP] = std::array::from_fn(|row| blocks(strip.row(row)));
    if rows.iter().any(|row| row.len() != cols) || tokens.len() < sums.len() * cols {
        return sums.fill(Sums::default());
    }
    for (group, sums) in sums.chunks_mut(GROUP).enumerate() {
        let tokens = &tokens[group * GROUP * cols..];
        let mut lanes = [[_mm256_setzero_ps(); STRIP]; GROUP];
        // One or two tokens gain nothing from steps: each weight is used once or twice and gone.
        let step = if sums.len() <= 3 { cols } else { STEP };
        for first in (0..cols).step_by(step.max(1)) {
            let count = step.min(cols - first);
            let token = |t: usize| &tokens[t * cols + first..t * cols + first + count];
            for row in (0..strip.rows()).step_by(TILE_ROWS) {
                let rows = [0, 1, 2, 3].map(|i| &rows[row + i][first..first + count]);
                for (t, lanes) in lanes[..sums.len()].chunks_mut(3).enumerate() {
                    let t = 3 * t;
                    match lanes {
                        [a, b, c] => tile(rows, [token(t), token(t + 1), token(t + 2)], [a, b, c], row, bytes),
                        [a, b] => tile(rows, [token(t), token(t + 1)], [a, b], row, bytes),
                        [a] => tile(rows, [token(t)], [a], row, bytes),
                        _ => {}
                    }
                }
            }
        }
        for (sums, lanes) in sums.iter_mut().zip(&lanes) {
            for (out, &lanes) in sums.as_flattened_mut().iter_mut().zip(lanes) {
                *out = sum(lanes);
            }
        }
    }
}

/// Adds the products of 4 rows and `N` tokens to their lanes.
#[target_feature(enable = "avx2,fma,f16c")]
fn tile<B: Widen, const N: usize>(
    rows: [&[B]; TILE_ROWS],
    tokens: [&[f32]; N],
    lanes: [&mut [__m256; STRIP]; N],
    row: usize,
    row_bytes: usize,
) {
    let mut totals = [[_mm256_setzero_ps(); N]; TILE_ROWS];
    for r in 0..TILE_ROWS {
        for c in 0..N {
            totals[r][c] = lanes[c][row + r];
        }
    }
    let whole = rows[0].len() / LANES;
    let weights = rows.map(|row| row.as_chunks::<LANES>());
    let values = tokens.map(|token| token.as_chunks::<LANES>());
    if weights.iter().any(|row| row.0.len() != whole) || values.iter().any(|token| token.0.len() != whole) {
        return;
    }
    for i in 0..whole {
        let mut x = [_mm256_setzero_ps(); N];
        for c in 0..N {
            x[c] = load_floats(&values[c].0[i]);
        }
        for r in 0..TILE_ROWS {
            if N == 1 && (i * LANES * size_of::<B>()).is_multiple_of(64) {
                // The next four rows: as in the integer kernels, the streams are too short for the processor's prefetcher.
                prefetch(&weights[r].0[i], TILE_ROWS * row_bytes, 1);
            }
            // SAFETY: this function has the features.
            let weights = unsafe { B::widen(&weights[r].0[i]) };
            for c in 0..N {
                totals[r][c] = _mm256_fmadd_ps(weights, x[c], totals[r][c]);
            }
        }
    }
    if !rows[0].len().is_multiple_of(LANES) {
        for c in 0..N {
            let mut x = [0.0; LANES];
            x.iter_mut().zip(values[c].1).for_each(|(x, &value)| *x = value);
            for r in 0..TILE_ROWS {
                let mut last = [B::encode(&[0.0], None); LANES];
                last.iter_mut().zip(weights[r].1).for_each(|(last, &weight)| *last = weight);
                // SAFETY: this function has the features.
                let weights = unsafe { B::widen(&last) };
                totals[r][c] = _mm256_fmadd_ps(weights, load_floats(&x), totals[r][c]);
            }
        }
    }
    for r in 0..TILE_ROWS {
        for c in 0..N {
            lanes[c][row + r] = totals[r][c];
        }
    }
}
