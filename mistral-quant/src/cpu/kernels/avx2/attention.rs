//! Scores and weighted values for AVX2, FMA and F16C.
//!
//! Both products are cut into register tiles, several rows of queries against several cached vectors, so that a cached element
//! is loaded (and widened from f16) once for all rows of the tile. The shape of the tile changes no result: a score always is one
//! accumulator of 8 lanes over the dimensions in order, then one fixed tree of sums; a weighted value always is one
//! chain of fused multiply-adds over the positions in order.

use std::arch::x86_64::{
    __m128, __m128i, __m256, __m256i, _mm_add_ps, _mm_loadu_si128, _mm_storeu_ps, _mm256_castps256_ps128,
    _mm256_cmpgt_epi32, _mm256_cvtph_ps, _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_hadd_ps, _mm256_loadu_ps,
    _mm256_maskload_ps, _mm256_maskstore_ps, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setr_epi32, _mm256_setzero_ps,
    _mm256_storeu_ps,
};
use std::ops::Range;

use crate::cpu::kernels::attention::Rows;
use crate::cpu::kv::Panel;

/// Cached vectors: f16 when `HALF`, f32 otherwise.
#[derive(Clone, Copy)]
struct Cached<const HALF: bool> {
    start: *const u8,
    dim: usize,
}

impl<const HALF: bool> Cached<HALF> {
    /// Up to 8 elements of vector `i` from element `d`, zeros behind the last.
    ///
    /// # Safety
    /// Vector `i` must exist and `d` be below `dim`.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(self, i: usize, d: usize) -> __m256 {
        let index = i * self.dim + d;
        let left = self.dim - d;
        if HALF {
            let at = self.start.cast::<u16>().wrapping_add(index);
            if left >= 8 {
                // SAFETY: 8 elements of the vector lie behind `at`.
                return _mm256_cvtph_ps(unsafe { _mm_loadu_si128(at.cast::<__m128i>()) });
            }
            let mut last = [0u16; 8];
            // SAFETY: `left` elements lie behind `at`, and 8 in `last`.
            unsafe { at.copy_to_nonoverlapping(last.as_mut_ptr(), left) };
            // SAFETY: 8 elements.
            _mm256_cvtph_ps(unsafe { _mm_loadu_si128(last.as_ptr().cast::<__m128i>()) })
        } else {
            // SAFETY: the same for f32.
            unsafe { load(self.start.cast::<f32>().wrapping_add(index), left) }
        }
    }
}

/// Scores of all queries `[rows, dim]` for all keys `[keys, dim]`.
///
/// # Safety
/// The processor must have the features; `scores` must hold `keys` elements from `row * stride` for every row.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) unsafe fn scores(queries: &[f32], keys: Panel<'_>, dim: usize, scores: &mut [f32], stride: usize) {
    let rows = queries.len() / dim;
    // SAFETY: the lengths are those of the slices, and `scores` is as this function demands.
    unsafe {
        match keys {
            Panel::F32(keys) => {
                let cached = Cached::<false> { start: keys.as_ptr().cast(), dim };
                all_scores(queries.as_ptr(), rows, cached, keys.len() / dim, scores.as_mut_ptr(), stride);
            }
            Panel::F16(keys) => {
                let cached = Cached::<true> { start: keys.as_ptr().cast(), dim };
                all_scores(queries.as_ptr(), rows, cached, keys.len() / dim, scores.as_mut_ptr(), stride);
            }
            Panel::Bf16(_) | Panel::Q8_0 { .. } => {}
        }
    }
}

/// # Safety
/// Behind the pointers lie `rows` queries, `keys` cached vectors, and scores as [`scores`] demands.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn all_scores<const HALF: bool>(
    queries: *const f32,
    rows: usize,
    cached: Cached<HALF>,
    keys: usize,
    scores: *mut f32,
    stride: usize,
) {
    let mut row = 0;
    while row < rows {
        let query = queries.wrapping_add(row * cached.dim);
        let score = scores.wrapping_add(row * stride);
        // SAFETY: each tile lies within `rows` and `keys`.
        unsafe {
            row += match rows - row {
                1 => {
                    score_rows::<HALF, 1, 8>(query, cached, keys, score, stride);
                    1
                }
                2 => {
                    score_rows::<HALF, 2, 4>(query, cached, keys, score, stride);
                    2
                }
                4 => {
                    score_rows::<HALF, 4, 2>(query, cached, keys, score, stride);
                    4
                }
                _ => {
                    score_rows::<HALF, 3, 4>(query, cached, keys, score, stride);
                    3
                }
            };
        }
    }
}

/// `R` rows against all keys, `K` keys at a time.
///
/// # Safety
/// As [`all_scores`] with `R` rows.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn score_rows<const HALF: bool, const R: usize, const K: usize>(
    queries: *const f32,
    cached: Cached<HALF>,
    keys: usize,
    scores: *mut f32,
    stride: usize,
) {
    let mut key = 0;
    while key + K <= keys {
        // SAFETY: `K` keys from `key` exist.
        unsafe { score_tile::<HALF, R, K>(queries, cached, key, scores.wrapping_add(key), stride) };
        key += K;
    }
    while key < keys {
        // SAFETY: one key from `key` exists.
        unsafe { score_tile::<HALF, R, 1>(queries, cached, key, scores.wrapping_add(key), stride) };
        key += 1;
    }
}

/// # Safety
/// As [`all_scores`] with `R` rows, for the keys `key..key + K`; `scores` points at the score of the first of them.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn score_tile<const HALF: bool, const R: usize, const K: usize>(
    queries: *const f32,
    cached: Cached<HALF>,
    key: usize,
    scores: *mut f32,
    stride: usize,
) {
    let dim = cached.dim;
    let mut sums = [[_mm256_setzero_ps(); K]; R];
    let mut d = 0;
    while d < dim {
        let mut keys = [_mm256_setzero_ps(); K];
        for (i, lanes) in keys.iter_mut().enumerate() {
            // SAFETY: the key exists and `d` is below `dim`.
            *lanes = unsafe { cached.load(key + i, d) };
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `dim - d` elements of the query lie behind this address.
            let query = unsafe { load(queries.wrapping_add(r * dim + d), dim - d) };
            for (sum, &key) in sums.iter_mut().zip(&keys) {
                *sum = _mm256_fmadd_ps(query, key, *sum);
            }
        }
        d += 8;
    }
    for (r, sums) in sums.iter().enumerate() {
        let row = scores.wrapping_add(r * stride);
        for (i, four) in sums.chunks(4).enumerate() {
            if let &[a, b, c, d] = four {
                // SAFETY: four keys, so four scores, from here.
                unsafe { _mm_storeu_ps(row.wrapping_add(4 * i), horizontal_sums(a, b, c, d)) };
            } else if let [a, .., b] | [a @ b] = four {
                let mut both = [0.0; 4];
                // SAFETY: `both` holds four numbers, `row` one score a vector of the chunk.
                unsafe {
                    _mm_storeu_ps(both.as_mut_ptr(), horizontal_sums(*a, *b, *a, *b));
                    row.copy_from_nonoverlapping(both.as_ptr(), four.len());
                }
            }
        }
    }
}

/// `((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7))` of each vector.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn horizontal_sums(a: __m256, b: __m256, c: __m256, d: __m256) -> __m128 {
    let sums = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps::<1>(sums))
}

/// `sums[row] += Σ weights[row][i] * values[i]` over the `i` of `range(row)`.
///
/// # Safety
/// The processor must have the features; `sums` must hold `weights.rows` rows of `dim`, and every `range(row)` must lie in the
/// values and, from `row * stride` on, in the weights.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) unsafe fn accumulate(
    weights: Rows<'_>,
    values: Panel<'_>,
    dim: usize,
    sums: &mut [f32],
    range: &dyn Fn(usize) -> Range<usize>,
) {
    // SAFETY: the lengths are as this function demands.
    unsafe {
        match values {
            Panel::F32(values) => {
                accumulate_all(weights, Cached::<false> { start: values.as_ptr().cast(), dim }, sums, range);
            }
            Panel::F16(values) => {
                accumulate_all(weights, Cached::<true> { start: values.as_ptr().cast(), dim }, sums, range);
            }
            Panel::Bf16(_) | Panel::Q8_0 { .. } => {}
        }
    }
}

/// # Safety
/// As [`accumulate`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn accumulate_all<const HALF: bool>(
    weights: Rows<'_>,
    cached: Cached<HALF>,
    sums: &mut [f32],
    range: &dyn Fn(usize) -> Range<usize>,
) {
    let mut row = 0;
    while row < weights.rows {
        let height = match weights.rows - row {
            4.. => 4,
            2.. => 2,
            _ => 1,
        };
        let ranges: [Range<usize>; 4] = std::array::from_fn(|r| range(row + r.min(height - 1)));
        let start = ranges.iter().map(|range| range.start).max().unwrap_or_default();
        let end = ranges.iter().map(|range| range.end).min().unwrap_or_default();
        let first = sums.as_mut_ptr();
        let tile = |r: usize| {
            let weight = weights.values.as_ptr().wrapping_add((row + r) * weights.stride);
            (weight, first.wrapping_add((row + r) * cached.dim))
        };
        // SAFETY: the rows exist, and every range lies in the values. A row adds what lies before the common range, the
        // common range together with the others, and what lies behind it: its own range in order.
        unsafe {
            if height == 1 || start >= end {
                for (r, range) in ranges.into_iter().enumerate().take(height) {
                    accumulate_rows::<HALF, 1, 8>(tile(r), weights.stride, cached, range);
                }
            } else {
                for (r, range) in ranges.iter().enumerate().take(height) {
                    accumulate_rows::<HALF, 1, 8>(tile(r), weights.stride, cached, range.start..start);
                }
                if height == 4 {
                    accumulate_rows::<HALF, 4, 2>(tile(0), weights.stride, cached, start..end);
                } else {
                    accumulate_rows::<HALF, 2, 4>(tile(0), weights.stride, cached, start..end);
                }
                for (r, range) in ranges.iter().enumerate().take(height) {
                    accumulate_rows::<HALF, 1, 8>(tile(r), weights.stride, cached, end..range.end);
                }
            }
        }
        row += height;
    }
}

/// `R` rows over one range, `V` vectors of 8 dimensions at a time.
///
/// # Safety
/// As [`accumulate`] for `R` rows, whose first weight and sum the pointers name.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn accumulate_rows<const HALF: bool, const R: usize, const V: usize>(
    (weights, sums): (*const f32, *mut f32),
    stride: usize,
    cached: Cached<HALF>,
    range: Range<usize>,
) {
    if range.is_empty() {
        return;
    }
    let mut d = 0;
    while d + 8 * V <= cached.dim {
        // SAFETY: `8 * V` dimensions from `d` exist.
        unsafe { accumulate_tile::<HALF, R, V>((weights, sums), stride, cached, range.clone(), d) };
        d += 8 * V;
    }
    while d < cached.dim {
        // SAFETY: at least one dimension from `d` exists.
        unsafe { accumulate_tile::<HALF, R, 1>((weights, sums), stride, cached, range.clone(), d) };
        d += 8;
    }
}

/// # Safety
/// As [`accumulate_rows`], for `V` vectors of which only the last may reach beyond the last dimension.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn accumulate_tile<const HALF: bool, const R: usize, const V: usize>(
    (weights, sums): (*const f32, *mut f32),
    stride: usize,
    cached: Cached<HALF>,
    range: Range<usize>,
    d: usize,
) {
    let dim = cached.dim;
    let mut tile = [[_mm256_setzero_ps(); V]; R];
    for (r, row) in tile.iter_mut().enumerate() {
        for (v, lanes) in row.iter_mut().enumerate() {
            let d = d + 8 * v;
            // SAFETY: `dim - d` sums lie behind this address.
            *lanes = unsafe { load(sums.wrapping_add(r * dim + d), dim - d) };
        }
    }
    for i in range {
        let mut values = [_mm256_setzero_ps(); V];
        for (v, lanes) in values.iter_mut().enumerate() {
            // SAFETY: the value exists and the dimension is below `dim`.
            *lanes = unsafe { cached.load(i, d + 8 * v) };
        }
        for (r, row) in tile.iter_mut().enumerate() {
            // SAFETY: the weight of every `i` of the range exists.
            let weight = _mm256_set1_ps(unsafe { *weights.wrapping_add(r * stride + i) });
            for (sum, &value) in row.iter_mut().zip(&values) {
                *sum = _mm256_fmadd_ps(weight, value, *sum);
            }
        }
    }
    for (r, row) in tile.iter().enumerate() {
        for (v, &lanes) in row.iter().enumerate() {
            let d = d + 8 * v;
            // SAFETY: `dim - d` sums lie behind this address.
            unsafe { store(sums.wrapping_add(r * dim + d), dim - d, lanes) };
        }
    }
}

/// Up to 8 numbers, zeros where `left` is less.
///
/// # Safety
/// `left` numbers must lie behind `at`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn load(at: *const f32, left: usize) -> __m256 {
    // SAFETY: reads 8 numbers, or those of the mask.
    unsafe { if left >= 8 { _mm256_loadu_ps(at) } else { _mm256_maskload_ps(at, mask(left)) } }
}

/// Writes up to 8 numbers.
///
/// # Safety
/// `left` numbers must lie behind `at`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn store(at: *mut f32, left: usize, lanes: __m256) {
    // SAFETY: writes 8 numbers, or those of the mask.
    unsafe { if left >= 8 { _mm256_storeu_ps(at, lanes) } else { _mm256_maskstore_ps(at, mask(left), lanes) } }
}

/// All bits of the first `count` lanes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn mask(count: usize) -> __m256i {
    _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
}
