//! F32, F16 and BF16 weights times f32 activations: weights are widened in registers, nothing is rounded before the product.
//!
//! Register tiles of 4 rows and up to 3 tokens, so that a weight is loaded and widened once for all tokens of the tile and an
//! activation once for 4 rows. Every output is one accumulator of 8 lanes over the columns in order and then one fixed tree
//! of sums, whatever the tile.

use std::arch::x86_64::*;

use super::lanes::{load_floats, load_half, sum};
use crate::Format;
use crate::cpu::kernels::strip::{ROWS, Strip, Sums};
use crate::formats::{BF16, Block, F16, F32, blocks};

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
    sums.fill(Sums::default());
    let cols = strip.cols;
    let token = |t: usize| tokens.get(t * cols..(t + 1) * cols).unwrap_or_default();
    for row in (0..strip.rows()).step_by(TILE_ROWS) {
        let rows = [0, 1, 2, 3].map(|i| blocks::<B>(strip.row(row + i)));
        let (threes, rest) = sums.as_chunks_mut::<3>();
        let after = 3 * threes.len();
        for (i, sums) in threes.iter_mut().enumerate() {
            tile(rows, [token(3 * i), token(3 * i + 1), token(3 * i + 2)], sums, row);
        }
        match rest {
            [_, _] => {
                if let Some(sums) = rest.first_chunk_mut::<2>() {
                    tile(rows, [token(after), token(after + 1)], sums, row);
                }
            }
            _ => {
                if let Some(sums) = rest.first_chunk_mut::<1>() {
                    tile(rows, [token(after)], sums, row);
                }
            }
        }
    }
}

/// Products of 4 rows and `N` tokens.
#[target_feature(enable = "avx2,fma,f16c")]
fn tile<B: Widen, const N: usize>(rows: [&[B]; TILE_ROWS], tokens: [&[f32]; N], sums: &mut [Sums; N], row: usize) {
    let mut totals = [[_mm256_setzero_ps(); N]; TILE_ROWS];
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
                let mut last = [B::encode(&[0.0]); LANES];
                last.iter_mut().zip(weights[r].1).for_each(|(last, &weight)| *last = weight);
                // SAFETY: this function has the features.
                let weights = unsafe { B::widen(&last) };
                totals[r][c] = _mm256_fmadd_ps(weights, load_floats(&x), totals[r][c]);
            }
        }
    }
    for r in 0..TILE_ROWS {
        for c in 0..N {
            sums[c][(row + r) / ROWS][(row + r) % ROWS] = sum(totals[r][c]);
        }
    }
}
