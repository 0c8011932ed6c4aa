//! The nearest points of a code book, for all scales at once: how the encoders of IQ1, IQ2 and IQ3 search.
//!
//! A group of weights `x` with costs `w` that is stored as point `g` under scale `s` has the error
//!
//! ```text
//! Σ w (x - s g)² = Σ w x² + s (s B - 2 A)        A = Σ w x g, B = Σ w g²
//! ```
//!
//! `A` and `B` do not depend on the scale. Over the scale, `s B - 2 A` is a line for each point, and the best points are the lower envelope
//! of these lines: a handful of segments, found by a few passes over the book. All further questions (which scale suits a unit of
//! several groups, which f16 and which small integers approximate the scales of a block best) are then answered exactly from the
//! segments, without looking at the book again. llama.cpp searches the neighbours of a rounded point for some trial scales instead.

use super::{f16_bytes, f16_value, finite, fit};

/// Segments that an envelope can hold. Few have more than ten; what is beyond is approximated by its neighbours.
const SEGMENTS: usize = 16;

/// How far beyond the likely scales an envelope reaches: few units end there, and there the best point at its end serves.
const MARGIN: f32 = 1.5;

/// A point is left out when its gain over its neighbours is a smaller share than this of what the group contributes.
const TOLERANCE: f32 = 1e-4;

/// The greatest factor by which a block is stretched.
const MOST_STRETCH: f64 = 1.25;

/// Scales that are tried for a unit.
const TRIALS: usize = 33;

/// A code book of `N` points of `DIM` values each, value by value.
pub(super) struct Book<const DIM: usize, const N: usize> {
    values: Box<[[f32; N]; DIM]>,
}

impl<const DIM: usize, const N: usize> Book<DIM, N> {
    /// The first `N` points.
    pub(super) fn new(points: impl Iterator<Item = [f32; DIM]>) -> Self {
        let mut values = Box::new([[0.0; N]; DIM]);
        for (index, point) in points.enumerate().take(N) {
            values.iter_mut().zip(point).for_each(|(values, value)| values[index] = value);
        }
        Self { values }
    }

    /// The values of a point.
    pub(super) fn point(&self, index: u16) -> [f32; DIM] {
        std::array::from_fn(|i| self.values[i][usize::from(index) % N])
    }
}

/// One of the points that are best for some scale.
#[derive(Debug, Clone, Copy, Default)]
struct Segment {
    /// The scale up to which it is the best.
    until: f32,
    /// `2 A`.
    dot: f32,
    /// `B`.
    norm: f32,
    point: u16,
}

/// The best points of a group for every scale.
#[derive(Debug, Clone)]
pub(super) struct Envelope {
    segments: [Segment; SEGMENTS],
    len: usize,
}

impl Envelope {
    /// Searches `book` for `Σ costs (x - scale g)²` at scales from `low` to `high`.
    ///
    /// With `odd`, one value must have the sign that `x` does not have: for each point it is the value where that costs least.
    pub(super) fn new<const DIM: usize, const N: usize>(
        book: &Book<DIM, N>,
        x: &[f32; DIM],
        costs: &[f32; DIM],
        odd: bool,
        range: [f32; 2],
    ) -> Self {
        let [low, high] = [range[0], MARGIN * range[1]];
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has the feature.
            return unsafe { envelope_avx512(book, x, costs, odd, low, high) };
        } else if std::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has the feature.
            return unsafe { envelope_avx2(book, x, costs, odd, low, high) };
        }
        envelope(book, x, costs, odd, low, high)
    }

    fn live(&self) -> &[Segment] {
        &self.segments[..self.len.clamp(1, SEGMENTS)]
    }

    fn at(&self, scale: f32) -> &Segment {
        let live = self.live();
        live.iter().find(|segment| scale <= segment.until).unwrap_or(&live[live.len() - 1])
    }

    /// The best point under a scale.
    pub(super) fn point(&self, scale: f32) -> u16 {
        self.at(scale).point
    }
}

/// The place of the value that an odd group negates: where the sign matters least under its point.
pub(super) fn cheapest_flip<const DIM: usize>(x: &[f32; DIM], costs: &[f32; DIM], point: &[f32; DIM]) -> usize {
    let product = |i: &usize| x[*i] * costs[*i] * point[*i];
    (0..DIM).min_by(|a, b| product(a).total_cmp(&product(b))).unwrap_or_default()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn envelope_avx2<const DIM: usize, const N: usize>(
    book: &Book<DIM, N>,
    x: &[f32; DIM],
    costs: &[f32; DIM],
    odd: bool,
    low: f32,
    high: f32,
) -> Envelope {
    envelope(book, x, costs, odd, low, high)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn envelope_avx512<const DIM: usize, const N: usize>(
    book: &Book<DIM, N>,
    x: &[f32; DIM],
    costs: &[f32; DIM],
    odd: bool,
    low: f32,
    high: f32,
) -> Envelope {
    envelope(book, x, costs, odd, low, high)
}

/// The body of [`Envelope::new`]. `inline(always)`: each instruction set compiles it with its own features; no operation is fused, so
/// that all find the same points.
#[inline(always)]
fn envelope<const DIM: usize, const N: usize>(
    book: &Book<DIM, N>,
    x: &[f32; DIM],
    costs: &[f32; DIM],
    odd: bool,
    low: f32,
    high: f32,
) -> Envelope {
    let (mut dots, mut norms) = ([0.0f32; N], [0.0f32; N]);
    for (g, (dot, norm)) in dots.iter_mut().zip(&mut norms).enumerate() {
        let mut least = f32::INFINITY;
        for i in 0..DIM {
            let value = book.values[i][g];
            let product = x[i] * costs[i] * value;
            *dot += product;
            *norm += costs[i] * (value * value);
            least = if product < least { product } else { least };
        }
        *dot = 2.0 * if odd { *dot - 2.0 * least } else { *dot };
    }
    let mut envelope = Envelope { segments: [Segment::default(); SEGMENTS], len: 0 };
    let (mut left, last) = (lowest(&dots, &norms, low), lowest(&dots, &norms, high));
    // Best points further to the right, the nearest on top. `envelope.len + depth` never exceeds the room but for the last segment.
    let mut known = [last; SEGMENTS];
    let mut depth = 1;
    while depth > 0 {
        let right = known[depth - 1];
        if left.point == right.point {
            depth -= 1;
            continue;
        }
        // Where the lines of both meet, the envelope lies below both and, as it is concave, above the chord between the scales at
        // which they were found.
        let crossing = (left.dot - right.dot) / (left.norm - right.norm);
        let value = |segment: &Segment, scale: f32| scale * segment.norm - segment.dot;
        let edge = value(&left, crossing).min(value(&right, crossing));
        let enough = edge - TOLERANCE * edge.abs();
        let (start, end) = (value(&left, left.until), value(&right, right.until));
        let chord = start + (end - start) * (crossing - left.until) / (right.until - left.until);
        let room = envelope.len + depth < SEGMENTS - 1;
        let ask = room && low < crossing && crossing < high && chord < enough;
        let found = if ask { lowest(&dots, &norms, crossing) } else { right };
        if found.point == left.point || found.point == right.point || value(&found, crossing) >= enough {
            envelope.segments[envelope.len] = Segment { until: crossing, ..left };
            envelope.len += 1;
            (left, depth) = (right, depth - 1);
        } else {
            known[depth] = found;
            depth += 1;
        }
    }
    envelope.segments[envelope.len] = Segment { until: f32::INFINITY, ..left };
    envelope.len += 1;
    envelope
}

/// The point with the lowest line at a scale; the first of several.
#[inline(always)]
fn lowest<const N: usize>(dots: &[f32; N], norms: &[f32; N], scale: f32) -> Segment {
    // Integers in the order of the floats: compilers find the least of integers with vectors, but not that of floats.
    let key = |dot: f32, norm: f32| {
        let bits = (scale * norm - dot).to_bits().cast_signed();
        bits ^ (bits >> 31 & i32::MAX)
    };
    let least = dots.iter().zip(norms).fold(i32::MAX, |least, (&dot, &norm)| least.min(key(dot, norm)));
    let mut place = u32::MAX;
    for g in 0..N {
        place = place.min(if key(dots[g], norms[g]) == least { g as u32 } else { u32::MAX });
    }
    let place = place as usize % N;
    Segment { until: scale, dot: dots[place], norm: norms[place], point: place as u16 }
}

/// Some groups that choose together: the alternative whose envelopes sum up to the least error is taken.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// One or two lists of envelopes of the same groups under different rules.
    pub alternatives: Vec<Vec<Envelope>>,
}

impl Part {
    /// Groups without a choice other than their points.
    pub(super) fn plain(envelopes: Vec<Envelope>) -> Self {
        Self { alternatives: vec![envelopes] }
    }

    /// The best alternative under a scale, with its `2 A` and `B`.
    fn best(&self, scale: f32) -> (usize, f64, f64) {
        let mut best = (0, 0.0, 0.0);
        let mut least = f64::INFINITY;
        for (index, envelopes) in self.alternatives.iter().enumerate() {
            let (mut dot, mut norm) = (0.0, 0.0);
            for segment in envelopes.iter().map(|envelope| envelope.at(scale)) {
                dot += f64::from(segment.dot);
                norm += f64::from(segment.norm);
            }
            let value = f64::from(scale) * norm - dot;
            if value < least {
                (least, best) = (value, (index, dot, norm));
            }
        }
        best
    }

    /// The number of the best alternative under a scale, and its envelopes.
    pub(super) fn chosen(&self, scale: f32) -> (usize, &[Envelope]) {
        let index = self.best(scale).0;
        (index, self.alternatives.get(index).map_or(&[], Vec::as_slice))
    }
}

/// The parts that share a scale.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    pub parts: Vec<Part>,
    /// The scales between which the best one lies.
    pub range: [f32; 2],
}

impl Unit {
    /// `2 A` and `B` under a scale.
    fn sums(&self, scale: f64) -> (f64, f64) {
        self.parts.iter().fold((0.0, 0.0), |(dot, norm), part| {
            let best = part.best(scale as f32);
            (dot + best.1, norm + best.2)
        })
    }

    /// The same under many scales, each no less than the one before: every envelope is walked through once.
    fn sums_of(&self, scales: &[f64; TRIALS]) -> [(f64, f64); TRIALS] {
        let mut sums = [(0.0, 0.0); TRIALS];
        for part in &self.parts {
            let mut best = [(f64::INFINITY, 0.0, 0.0); TRIALS];
            for envelopes in &part.alternatives {
                let mut found = [(0.0, 0.0); TRIALS];
                for envelope in envelopes {
                    let live = envelope.live();
                    let mut at = 0;
                    for (found, &scale) in found.iter_mut().zip(scales) {
                        // As `at`, from where the scale before ended.
                        let ends = |segment: &Segment| scale as f32 <= segment.until;
                        while at < live.len() - 1 && !ends(&live[at]) {
                            at += 1;
                        }
                        let segment = &live[at];
                        *found = (found.0 + f64::from(segment.dot), found.1 + f64::from(segment.norm));
                    }
                }
                for ((best, (dot, norm)), &scale) in best.iter_mut().zip(found).zip(scales) {
                    let value = f64::from(scale as f32) * norm - dot;
                    if value < best.0 {
                        *best = (value, dot, norm);
                    }
                }
            }
            sums.iter_mut().zip(best).for_each(|(sum, best)| *sum = (sum.0 + best.1, sum.1 + best.2));
        }
        sums
    }

    /// What a scale adds to the error.
    fn error(&self, scale: f64) -> f64 {
        let (dot, norm) = self.sums(scale);
        scale * (scale * norm - dot)
    }

    /// The best scale, and `B` there: points for trial scales, and the scale that suits these points best.
    fn scale(&self) -> (f64, f64) {
        let [low, high] = self.range.map(f64::from);
        let share = |trial: usize| trial as f64 / (TRIALS - 1) as f64;
        let scales: [f64; TRIALS] = std::array::from_fn(|trial| low * (high / low).powf(share(trial)));
        let (mut best, mut most) = ((0.0, 0.0), 0.0);
        for (dot, norm) in self.sums_of(&scales) {
            if dot > 0.0 && norm > 0.0 && dot * dot > most * norm {
                (most, best) = (dot * dot / norm, (dot / norm / 2.0, norm));
            }
        }
        best
    }
}

/// The scales of a block: unit `u` has the scale `f16(d) * (2 steps[u] + 1)`, in units of which `per_d` make one of the search.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scales<const UNITS: usize> {
    pub d: [u8; 2],
    pub steps: [u8; UNITS],
    /// The scales as the search counts them.
    pub scales: [f32; UNITS],
}

/// Chooses an f16 and integers `0..=max_step` that approximate the best scales of all units with the least error.
///
/// Many f16 are judged by how far they take each unit from its best scale; the most promising ones with the points that the units
/// would then choose.
pub(super) fn block_scales<const UNITS: usize>(units: &[Unit; UNITS], max_step: u8, per_d: f64) -> Scales<UNITS> {
    const PROMISING: usize = 3;
    let wanted: [(f64, f64); UNITS] = std::array::from_fn(|u| units[u].scale());
    let largest = wanted.iter().fold(0.0f64, |max, wanted| max.max(wanted.0));
    let mut promising = [(f64::INFINITY, [0; 2]); PROMISING];
    for anchor in max_step / 2..=max_step {
        for stretch in [1.0, 0.94, 0.97, 1.03, 1.06] {
            let d = f16_bytes((stretch * largest / f64::from(2 * anchor + 1) / per_d) as f32);
            let one = f64::from(f16_value(d)) * per_d;
            let distance = |&(scale, norm): &(f64, f64)| {
                norm * (scale - one * f64::from(2 * nearest_step(scale, one, max_step) + 1)).powi(2)
            };
            let distance = wanted.iter().map(distance).sum();
            if distance < promising[PROMISING - 1].0 && promising.iter().all(|other| other.1 != d) {
                promising[PROMISING - 1] = (distance, d);
                promising.sort_by(|a, b| a.0.total_cmp(&b.0));
            }
        }
    }
    let mut best = Scales { d: [0; 2], steps: [0; UNITS], scales: [0.0; UNITS] };
    let mut least = 0.0;
    let mut attempt = |d: [u8; 2], best: &mut Scales<UNITS>| {
        let (error, scales) = scales_under(units, &wanted, max_step, d, per_d);
        if error < least {
            (least, *best) = (error, scales);
        }
    };
    promising.iter().for_each(|&(_, d)| attempt(d, &mut best));
    // The f16 that suits the points and integers of the best attempt.
    let (mut dots, mut norms) = (0.0, 0.0);
    for (u, unit) in units.iter().enumerate() {
        let (dot, norm) = unit.sums(f64::from(best.scales[u]));
        let factor = f64::from(2 * best.steps[u] + 1);
        dots += factor * dot / 2.0;
        norms += factor * factor * norm;
    }
    if norms > 0.0 {
        attempt(f16_bytes((dots / norms / per_d) as f32), &mut best);
    }
    best
}

/// Returns the f16 scale of a block whose codes were found under `scales.d`. The scale is stretched by a power of the share of the block's
/// energy, `Σ costs x²`, that the codes keep.
///
/// The scale of least square error makes every product with the weights too small, by the share of the error, in every layer. Below four
/// bits per weight, this costs a model more than the larger error of a larger scale. The power 1/2 would keep the energy, and 1 keeps the
/// mean of the products. Of whole models, the perplexity falls up to the power 1 in all formats, but at less than two bits per weight the
/// error grows fast. Weights that the format holds exactly are not stretched. llama.cpp multiplies by constants instead: 1.125 (IQ1_S),
/// 1.1125 (IQ1_M), 1.033 (IQ3_S).
pub(super) fn stretched<const UNITS: usize>(
    scales: &Scales<UNITS>,
    units: &[Unit; UNITS],
    target: &Target,
    power: f64,
) -> [u8; 2] {
    let squares = scales.scales.iter().map(|&scale| f64::from(scale).powi(2));
    let kept: f64 = squares.zip(units).map(|(square, unit)| square * unit.sums(square.sqrt()).1).sum();
    let energy: f64 =
        target.x.iter().zip(&target.costs).map(|(&x, &cost)| f64::from(cost) * f64::from(x).powi(2)).sum();
    let stretch = (energy / kept).powf(power);
    if !stretch.is_finite() {
        return scales.d;
    }
    f16_bytes((f64::from(f16_value(scales.d)) * stretch.clamp(1.0, MOST_STRETCH)) as f32)
}

/// The step whose scale, in units of `one`, is nearest.
fn nearest_step(scale: f64, one: f64, max_step: u8) -> u8 {
    // Rounds half up: the cast cuts off.
    (scale / one / 2.0).clamp(0.0, f64::from(max_step)) as u8
}

/// The best integers under a given f16, and what they add to the error.
fn scales_under<const UNITS: usize>(
    units: &[Unit; UNITS],
    wanted: &[(f64, f64); UNITS],
    max_step: u8,
    d: [u8; 2],
    per_d: f64,
) -> (f64, Scales<UNITS>) {
    let one = f64::from(f16_value(d)) * per_d;
    let mut steps = [0; UNITS];
    let mut sum = 0.0;
    for (u, unit) in units.iter().enumerate() {
        let near = nearest_step(wanted[u].0, one, max_step);
        let mut lowest = f64::INFINITY;
        for step in near.saturating_sub(1)..=(near + 1).min(max_step) {
            let error = unit.error(one * f64::from(2 * step + 1));
            if error < lowest {
                (lowest, steps[u]) = (error, step);
            }
        }
        sum += lowest;
    }
    (sum, Scales { d, steps, scales: steps.map(|step| (one * f64::from(2 * step + 1)) as f32) })
}

/// The weights of a block as the search takes them: divided by the largest magnitude, with the costs of their errors.
pub(super) struct Target {
    pub x: [f32; 256],
    pub costs: [f32; 256],
    /// What the weights were divided by.
    pub largest: f64,
}

impl Target {
    /// Makes the target of a block whose errors cost what [`fit::costs`] says. `None` for a block of zeros.
    pub(super) fn new(weights: &[f32], importance: Option<&[f32]>) -> Option<Self> {
        Self::with_costs(weights, |x, largest| fit::costs(x, importance).map(|cost| (cost / largest) as f32))
    }

    /// Makes the target of a block whose errors cost the importance of their columns alone. `None` for a block of zeros.
    pub(super) fn by_importance(weights: &[f32], importance: Option<&[f32]>) -> Option<Self> {
        Self::with_costs(weights, |_, _| fit::shares(importance).map(|share| share as f32))
    }

    fn with_costs(weights: &[f32], costs: impl FnOnce(&[f32; 256], f64) -> [f32; 256]) -> Option<Self> {
        let x: [f32; 256] = finite(weights);
        let largest = f64::from(fit::extreme(&x).abs());
        (largest > 0.0).then(|| Self {
            x: x.map(|x| (f64::from(x) / largest) as f32),
            costs: costs(&x, largest),
            largest,
        })
    }

    /// Values and costs of group `index` of `N`.
    pub(super) fn group<const N: usize>(&self, index: usize) -> (&[f32; N], &[f32; N]) {
        const { assert!(256 % N == 0) };
        (&self.x.as_chunks().0[index % (256 / N)], &self.costs.as_chunks().0[index % (256 / N)])
    }

    /// The scales under which the largest magnitude of group `index` of `N` lies between `high` and `low`.
    pub(super) fn range<const N: usize>(&self, index: usize, high: f32, low: f32) -> [f32; 2] {
        let largest = fit::extreme(self.group::<N>(index).0).abs().max(1e-6);
        [largest / high, largest / low]
    }
}

/// Magnitudes, and a bit for each value below zero.
pub(super) fn magnitudes<const N: usize>(x: &[f32; N]) -> ([f32; N], u8) {
    (x.map(f32::abs), x.iter().enumerate().fold(0, |signs, (i, &x)| signs | u8::from(x < 0.0) << i))
}

#[cfg(test)]
mod tests;
