//! Online softmax over one tile. Source: Milakov and Gimelshein, 2018, arXiv:1805.02867.

use super::tile::TILE;
use super::{Scoring, Sight, Sums};
use crate::cpu::elementwise::Exponentials;
use crate::cpu::kernels::lanes::{FloatLanes, LaneKernel};

/// See [`crate::cpu::Kernels::weigh`].
pub(super) struct Weigh<'a, 'b> {
    pub(super) scores: &'a mut [f32],
    pub(super) scoring: Scoring,
    pub(super) sight: Sight,
    pub(super) sums: &'a mut Sums<'b>,
}

impl LaneKernel for Weigh<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<L: FloatLanes>(self, lanes: L) {
        let Self { scores, scoring, sight, sums } = self;
        let (tiles, _) = scores.as_chunks_mut::<TILE>();
        for (row, scores) in tiles.iter_mut().enumerate().take(sums.max.len()) {
            let seen = sight.of(row);
            if seen.is_empty() {
                continue;
            }
            // Whole vectors around what is seen, a matter of the row's position alone; 64 is a multiple of `LANES`.
            let (start, end) = (seen.start / L::LANES * L::LANES, seen.end.next_multiple_of(L::LANES));
            let touched = &mut scores[start..end];
            let largest = score(lanes, touched, scoring, seen.start - start..seen.end - start);
            let before = sums.max[row];
            if largest > before {
                let factor = if before == f32::NEG_INFINITY { 0.0 } else { (before - largest).exp() };
                sums.max[row] = largest;
                sums.total[row] *= factor;
                multiply(lanes, sums.row(row), factor);
            }
            let max = if sums.max[row] == f32::NEG_INFINITY { 0.0 } else { sums.max[row] };
            sums.total[row] += Exponentials { x: touched, max }.run(lanes);
        }
    }
}

/// Scales and caps whole vectors of scores; those that are not seen become minus infinity. The largest, not counting NaN.
#[inline(always)]
fn score<L: FloatLanes>(lanes: L, scores: &mut [f32], scoring: Scoring, seen: std::ops::Range<usize>) -> f32 {
    let scale = lanes.splat(scoring.scale);
    for scores in scores.chunks_exact_mut(L::LANES) {
        // SAFETY: the piece has `LANES` elements.
        unsafe {
            let mut vector = lanes.mul(lanes.load(scores.as_ptr()), scale);
            if let Some(cap) = scoring.soft_cap {
                let cap = lanes.splat(cap);
                vector = lanes.mul(cap, lanes.tanh(lanes.div(vector, cap)));
            }
            lanes.store(scores.as_mut_ptr(), vector);
        }
    }
    scores[..seen.start].fill(f32::NEG_INFINITY);
    scores[seen.end..].fill(f32::NEG_INFINITY);
    let mut largest = lanes.splat(f32::NEG_INFINITY);
    for scores in scores.chunks_exact(L::LANES) {
        // SAFETY: the piece has `LANES` elements. The second operand stays where the first is NaN.
        largest = lanes.max(unsafe { lanes.load(scores.as_ptr()) }, largest);
    }
    lanes.largest(largest)
}

#[inline(always)]
fn multiply<L: FloatLanes>(lanes: L, x: &mut [f32], factor: f32) {
    let factor = lanes.splat(factor);
    for x in x.chunks_mut(L::LANES) {
        // SAFETY: the piece has as many elements as are named.
        unsafe {
            let product = lanes.mul(lanes.load_partial(x.as_ptr(), x.len()), factor);
            lanes.store_partial(x.as_mut_ptr(), product, x.len());
        }
    }
}
