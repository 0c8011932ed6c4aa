//! The two products of attention, scores and weighted values, for panels of cached keys and values.

use std::ops::Range;

use half::f16;

use crate::cpu::elementwise::Elementwise;
use crate::cpu::kv::Panel;

/// Rows of numbers `stride` apart.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) rows: usize,
}

/// The kernels of this machine. Every output is summed in an order that does not depend on the other rows or keys.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttentionKernels {
    /// True only where the processor was found to have AVX2, FMA and F16C.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    avx2: bool,
}

impl AttentionKernels {
    /// The kernels for a proven instruction set.
    pub(crate) fn new(elementwise: Elementwise) -> Self {
        Self { avx2: elementwise.has_avx2() }
    }

    /// `scores[row * stride + i] = queries[row] · keys[i]`; queries `[rows, dim]`, keys `[keys, dim]`.
    pub(crate) fn scores(self, queries: &[f32], keys: Panel<'_>, dim: usize, scores: &mut [f32], stride: usize) {
        let (rows, count) = (queries.len() / dim, keys.len() / dim);
        if rows == 0 || count == 0 || scores.len() < (rows - 1) * stride + count {
            debug_assert!(rows == 0 || count == 0, "{} scores for {rows} x {stride}", scores.len());
            return;
        }
        #[cfg(target_arch = "x86_64")]
        if self.avx2 {
            // SAFETY: `avx2` is set only for a proven processor; the scores are long enough as just checked.
            return unsafe { super::avx2::attention::scores(queries, keys, dim, scores, stride) };
        }
        for (row, query) in queries.chunks_exact(dim).enumerate() {
            let scores = &mut scores[row * stride..];
            match keys {
                Panel::F32(keys) => keys.chunks_exact(dim).zip(scores).for_each(|(key, score)| {
                    *score = dot(query, key, |x| x);
                }),
                Panel::F16(keys) => keys.chunks_exact(dim).zip(scores).for_each(|(key, score)| {
                    *score = dot(query, key, f16::to_f32);
                }),
                // These formats are widened before they come here.
                Panel::Bf16(_) | Panel::Q8_0 { .. } => {}
            }
        }
    }

    /// `sums[row] += Σ weights[row][i] * values[i]` over the `i` of `range(row)`; sums `[rows, dim]`, values `[values, dim]`.
    pub(crate) fn accumulate(
        self,
        weights: Rows<'_>,
        values: Panel<'_>,
        dim: usize,
        sums: &mut [f32],
        range: &dyn Fn(usize) -> Range<usize>,
    ) {
        let (rows, count) = (weights.rows, values.len() / dim);
        if rows == 0 || sums.len() < rows * dim || weights.values.len() < (rows - 1) * weights.stride + count {
            debug_assert!(rows == 0, "{} weights for {rows} x {}", weights.values.len(), weights.stride);
            return;
        }
        let range = |row: usize| {
            let range = range(row);
            range.start.min(count)..range.end.min(count)
        };
        #[cfg(target_arch = "x86_64")]
        if self.avx2 {
            // SAFETY: `avx2` is set only for a proven processor; sums and weights are long enough as just checked, and the
            // ranges were cut to the values.
            return unsafe { super::avx2::attention::accumulate(weights, values, dim, sums, &range) };
        }
        for (row, sums) in sums.chunks_exact_mut(dim).enumerate().take(rows) {
            let weights = &weights.values[row * weights.stride..];
            for i in range(row) {
                match values {
                    Panel::F32(values) => add_weighted(sums, weights[i], &values[i * dim..], |x| x),
                    Panel::F16(values) => add_weighted(sums, weights[i], &values[i * dim..], f16::to_f32),
                    Panel::Bf16(_) | Panel::Q8_0 { .. } => {}
                }
            }
        }
    }
}

fn add_weighted<T: Copy>(sums: &mut [f32], weight: f32, values: &[T], widen: impl Fn(T) -> f32) {
    sums.iter_mut().zip(values).for_each(|(sum, &value)| *sum += weight * widen(value));
}

fn dot<T: Copy>(query: &[f32], key: &[T], widen: impl Fn(T) -> f32) -> f32 {
    let mut sums = [0.0f32; 8];
    let (query, query_rest) = query.as_chunks::<8>();
    let (key, key_rest) = key.as_chunks::<8>();
    for (query, key) in query.iter().zip(key) {
        for ((sum, &q), &k) in sums.iter_mut().zip(query).zip(key) {
            *sum += q * widen(k);
        }
    }
    let rest: f32 = query_rest.iter().zip(key_rest).map(|(&q, &k)| q * widen(k)).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests;
