//! The two products of attention as one small matrix product: rows of f32 numbers times cached vectors.

// Register tiles are indexed as the formula is, and no closure may hold vectors (see the lanes); operands of a kernel are many.
#![allow(clippy::needless_range_loop, clippy::too_many_arguments)]

use std::ops::Range;

use super::Sight;
use super::tile::{Ahead, Cached, Codes, STRIP, Strips, TILE, Tile};
use crate::cpu::kernels::Kernels;
use crate::cpu::kernels::lanes::{FloatLanes, LaneKernel};

/// Rows of the tallest register tile.
const TALLEST: usize = 6;

/// See [`Kernels::scores`].
pub(super) fn scores(
    kernels: &Kernels,
    queries: &[f32],
    dim: usize,
    keys: Tile<'_>,
    ahead: Option<Ahead>,
    sight: Sight,
    scores: &mut [f32],
) {
    let mut row = 0;
    let (mut queries, mut scores, mut ahead) = (queries, scores, ahead);
    while queries.len() >= dim && scores.len() >= TILE {
        let height = height(queries.len() / dim, matches!(keys, Tile::F32(_)));
        let (own, rest) = queries.split_at(height * dim);
        let (out, left) = scores.split_at_mut(height * TILE);
        let seen = sight.of_any(row..row + height);
        match keys {
            Tile::F32(strips) => score_rows(kernels, strips, ahead, height, own, dim, seen, out),
            Tile::F16(strips) => score_rows(kernels, strips, ahead, height, own, dim, seen, out),
            Tile::Bf16(strips) => score_rows(kernels, strips, ahead, height, own, dim, seen, out),
            Tile::Q8_0 { codes, scales } => {
                score_rows(kernels, Codes { codes, scales }, ahead, height, own, dim, seen, out);
            }
        }
        // The first rows have asked for everything.
        ahead = None;
        row += height;
        (queries, scores) = (rest, left);
    }
}

/// See [`Kernels::accumulate`].
pub(super) fn accumulate(
    kernels: &Kernels,
    weights: &[f32],
    values: Tile<'_>,
    ahead: Option<Ahead>,
    dim: usize,
    sight: Sight,
    sums: &mut [f32],
) {
    let mut row = 0;
    let (mut weights, mut sums, mut ahead) = (weights, sums, ahead);
    while sums.len() >= dim && weights.len() >= TILE {
        let height = height(sums.len() / dim, matches!(values, Tile::F32(_)));
        let (own, rest) = weights.split_at(height * TILE);
        let (out, left) = sums.split_at_mut(height * dim);
        let sight = sight.from(row);
        match values {
            Tile::F32(strips) => sum_rows(kernels, strips, ahead, height, own, dim, sight, out),
            Tile::F16(strips) => sum_rows(kernels, strips, ahead, height, own, dim, sight, out),
            Tile::Bf16(strips) => sum_rows(kernels, strips, ahead, height, own, dim, sight, out),
            Tile::Q8_0 { codes, scales } => {
                sum_rows(kernels, Codes { codes, scales }, ahead, height, own, dim, sight, out);
            }
        }
        ahead = None;
        row += height;
        (weights, sums) = (rest, left);
    }
}

/// How many of `left` rows make the next register tile. Formats that are widened at each use come with few rows.
fn height(left: usize, tall: bool) -> usize {
    match left {
        TALLEST.. if tall => TALLEST,
        4.. => 4,
        2.. => 2,
        _ => 1,
    }
}

fn score_rows<S: Strips>(
    kernels: &Kernels,
    strips: S,
    ahead: Option<Ahead>,
    height: usize,
    queries: &[f32],
    dim: usize,
    seen: Range<usize>,
    scores: &mut [f32],
) {
    match height {
        TALLEST if S::TALL => kernels.run(Scores::<S, TALLEST> { strips, ahead, queries, dim, seen, scores }),
        4 => kernels.run(Scores::<S, 4> { strips, ahead, queries, dim, seen, scores }),
        2 => kernels.run(Scores::<S, 2> { strips, ahead, queries, dim, seen, scores }),
        _ => kernels.run(Scores::<S, 1> { strips, ahead, queries, dim, seen, scores }),
    }
}

fn sum_rows<S: Strips>(
    kernels: &Kernels,
    strips: S,
    ahead: Option<Ahead>,
    height: usize,
    weights: &[f32],
    dim: usize,
    sight: Sight,
    sums: &mut [f32],
) {
    let (first, last) = (sight.of(0), sight.of(height - 1));
    // Later rows see no less at the end and no more at the start. A row adds what lies before the common range, the
    // common range together with the others, and what lies behind it: its own range in order.
    let common = last.start..first.end.max(last.start);
    let alone = |sums: &mut [f32], ahead, part: &dyn Fn(Range<usize>) -> Range<usize>| {
        for (row, (weights, sums)) in weights.chunks_exact(TILE).zip(sums.chunks_exact_mut(dim)).enumerate() {
            let seen = part(sight.of(row));
            if !seen.is_empty() {
                kernels.run(Accumulate::<S, 1> { strips, ahead, weights, dim, seen, sums });
            }
        }
    };
    if height == 1 || common.is_empty() {
        return alone(sums, ahead, &|seen| seen);
    }
    alone(sums, None, &|seen| seen.start..common.start);
    let seen = common.clone();
    match height {
        TALLEST if S::TALL => kernels.run(Accumulate::<S, TALLEST> { strips, ahead, weights, dim, seen, sums }),
        4 => kernels.run(Accumulate::<S, 4> { strips, ahead, weights, dim, seen, sums }),
        _ => kernels.run(Accumulate::<S, 2> { strips, ahead, weights, dim, seen, sums }),
    }
    alone(sums, None, &|seen| common.end..seen.end);
}

/// Scores `[R, 64]` of queries `[R, dim]` for the strips that `seen` touches.
struct Scores<'a, S, const R: usize> {
    strips: S,
    ahead: Option<Ahead>,
    queries: &'a [f32],
    dim: usize,
    seen: Range<usize>,
    scores: &'a mut [f32],
}

impl<S: Strips, const R: usize> LaneKernel for Scores<'_, S, R> {
    type Output = ();

    #[inline(always)]
    fn run<L: FloatLanes>(mut self, lanes: L) {
        let whole = self.queries.len() >= R * self.dim && self.scores.len() >= R * TILE;
        if !whole || !hold(self.strips, &self.seen, self.dim) {
            debug_assert!(false, "{} scores, or a strip is missing in {:?}", self.scores.len(), self.seen);
            return;
        }
        let start = self.seen.start / STRIP * STRIP;
        // SAFETY: as just checked. Every number of vectors divides a tile, and the last of each line a strip.
        unsafe {
            match (L::REGISTERS, L::LANES) {
                (32, 16) => {
                    let key = self.groups::<L, 4>(lanes, start);
                    self.groups::<L, 1>(lanes, key);
                }
                (32, _) => {
                    self.groups::<L, 4>(lanes, start);
                }
                (16, 8) if R == 1 => {
                    let key = self.groups::<L, 8>(lanes, start);
                    self.groups::<L, 2>(lanes, key);
                }
                (16, 8) if R == 2 => {
                    let key = self.groups::<L, 4>(lanes, start);
                    self.groups::<L, 2>(lanes, key);
                }
                (16, 8) => {
                    self.groups::<L, 2>(lanes, start);
                }
                _ => {
                    self.groups::<L, 1>(lanes, start);
                }
            }
        }
    }
}

impl<S: Strips, const R: usize> Scores<'_, S, R> {
    /// Groups of `N` vectors of keys from `key` on, as long as a whole group is left; where the next would start.
    ///
    /// # Safety
    /// The slices must hold `R` rows and the strips what `seen` touches.
    #[inline(always)]
    unsafe fn groups<L: FloatLanes, const N: usize>(&mut self, lanes: L, mut key: usize) -> usize {
        let end = self.seen.end.next_multiple_of(STRIP);
        let ahead = self.ahead.unwrap_or(self.strips.here());
        while key + N * L::LANES <= end {
            let mut right = [self.strips.keys(key); N];
            let mut next = [ahead.byte(0, 0); N];
            for n in 0..N {
                let key = key + n * L::LANES;
                right[n] = self.strips.keys(key);
                next[n] = ahead.byte(key / STRIP, key % STRIP * S::BYTES);
            }
            let mut sums = [[lanes.zero(); N]; R];
            // SAFETY: the rows have `dim` elements, and so have the keys, which lie below `end`.
            unsafe {
                multiply(lanes, self.queries.as_ptr(), self.dim, right, next, STRIP * S::BYTES, 0..self.dim, &mut sums)
            };
            for r in 0..R {
                for n in 0..N {
                    let at = r * TILE + key + n * L::LANES;
                    // SAFETY: a row has 64 scores, of which these lie below `end`.
                    unsafe { lanes.store(self.scores.as_mut_ptr().wrapping_add(at), sums[r][n]) };
                }
            }
            key += N * L::LANES;
        }
        key
    }
}

/// Adds the values of `seen`, weighted by `[R, 64]`, to sums `[R, dim]`.
struct Accumulate<'a, S, const R: usize> {
    strips: S,
    ahead: Option<Ahead>,
    weights: &'a [f32],
    dim: usize,
    seen: Range<usize>,
    sums: &'a mut [f32],
}

impl<S: Strips, const R: usize> LaneKernel for Accumulate<'_, S, R> {
    type Output = ();

    #[inline(always)]
    fn run<L: FloatLanes>(mut self, lanes: L) {
        let whole = self.sums.len() >= R * self.dim && self.weights.len() >= R * TILE && self.seen.end <= TILE;
        if !whole || !hold(self.strips, &self.seen, self.dim) {
            debug_assert!(false, "{} sums, or a strip is missing in {:?}", self.sums.len(), self.seen);
            return;
        }
        // SAFETY: as just checked.
        unsafe {
            let d = match (L::REGISTERS, R) {
                (32, 1) | (16, 1) => self.groups::<L, 8>(lanes, 0),
                (32, _) | (16, 2) => self.groups::<L, 4>(lanes, 0),
                (16, _) => self.groups::<L, 2>(lanes, 0),
                _ => 0,
            };
            let d = self.groups::<L, 1>(lanes, d);
            if d < self.dim {
                self.rest(lanes, d);
            }
        }
    }
}

impl<S: Strips, const R: usize> Accumulate<'_, S, R> {
    /// Groups of `N` vectors of dimensions from `d` on, as long as a whole group is left; where the next would start.
    ///
    /// # Safety
    /// The slices must hold `R` rows and the strips what is seen.
    #[inline(always)]
    unsafe fn groups<L: FloatLanes, const N: usize>(&mut self, lanes: L, mut d: usize) -> usize {
        let Range { start, end } = self.seen;
        let ahead = self.ahead.unwrap_or(self.strips.here());
        while d + N * L::LANES <= self.dim {
            let out = self.sums.as_mut_ptr().wrapping_add(d);
            let mut sums = [[lanes.zero(); N]; R];
            for r in 0..R {
                for n in 0..N {
                    // SAFETY: the row has `dim` sums.
                    sums[r][n] = unsafe { lanes.load(out.wrapping_add(r * self.dim + n * L::LANES)) };
                }
            }
            for strip in start / STRIP..end.div_ceil(STRIP) {
                let first = strip * STRIP;
                let mut right = [self.strips.values(strip, d, self.dim); N];
                let mut next = [ahead.byte(0, 0); N];
                for n in 0..N {
                    let d = d + n * L::LANES;
                    right[n] = self.strips.values(strip, d, self.dim);
                    next[n] = ahead.byte(strip, d * S::BYTES);
                }
                let steps = start.max(first) - first..end.min(first + STRIP) - first;
                let weights = self.weights.as_ptr().wrapping_add(first);
                // SAFETY: the weights and the values of these keys exist.
                unsafe { multiply(lanes, weights, TILE, right, next, self.dim * S::BYTES, steps, &mut sums) };
            }
            for r in 0..R {
                for n in 0..N {
                    // SAFETY: the row has `dim` sums.
                    unsafe { lanes.store(out.wrapping_add(r * self.dim + n * L::LANES), sums[r][n]) };
                }
            }
            d += N * L::LANES;
        }
        d
    }

    /// The dimensions from `d` on, fewer than `LANES`.
    ///
    /// # Safety
    /// As [`groups`](Self::groups).
    #[inline(always)]
    unsafe fn rest<L: FloatLanes>(&mut self, lanes: L, d: usize) {
        let count = self.dim - d;
        let out = self.sums.as_mut_ptr().wrapping_add(d);
        let mut sums = [lanes.zero(); R];
        for r in 0..R {
            // SAFETY: the row has `count` more sums.
            sums[r] = unsafe { lanes.load_partial(out.wrapping_add(r * self.dim), count) };
        }
        for key in self.seen.clone() {
            let values = self.strips.values(key / STRIP, d, self.dim);
            // SAFETY: the value has `count` more dimensions.
            let vector = unsafe { values.load_partial(lanes, key % STRIP, count) };
            for r in 0..R {
                let x = lanes.splat(self.weights[r * TILE + key]);
                sums[r] = lanes.fma(x, vector, sums[r]);
            }
        }
        for r in 0..R {
            // SAFETY: the row has `count` more sums.
            unsafe { lanes.store_partial(out.wrapping_add(r * self.dim), sums[r], count) };
        }
    }
}

/// Whether all strips that `seen` touches are there.
#[inline(always)]
fn hold<S: Strips>(strips: S, seen: &Range<usize>, dim: usize) -> bool {
    (seen.start / STRIP..seen.end.div_ceil(STRIP)).all(|strip| strips.holds(strip, dim))
}

/// `sums[r][n] += Σ left[r][step] * right[n][step]` over the steps in order; asks for `next`, `next_stride` bytes a step, on the way.
///
/// # Safety
/// `R` rows of `left`, `left_stride` apart, and all vectors of `right` must have the steps.
#[inline(always)]
unsafe fn multiply<L: FloatLanes, C: Cached, const R: usize, const N: usize>(
    lanes: L,
    left: *const f32,
    left_stride: usize,
    right: [C; N],
    next: [*const u8; N],
    next_stride: usize,
    steps: Range<usize>,
    sums: &mut [[L::Vector; N]; R],
) {
    for step in steps {
        // Many rows come with a panel that is in the cache.
        if R < TALLEST {
            for next in next {
                lanes.prefetch(next.wrapping_add(step * next_stride));
            }
        }
        let mut vectors = [lanes.zero(); N];
        for n in 0..N {
            // SAFETY: the step exists.
            vectors[n] = unsafe { right[n].load(lanes, step) };
        }
        for r in 0..R {
            // SAFETY: the row and the step exist.
            let x = lanes.splat(unsafe { left.wrapping_add(r * left_stride + step).read() });
            for n in 0..N {
                sums[r][n] = lanes.fma(x, vectors[n], sums[r][n]);
            }
        }
    }
}
