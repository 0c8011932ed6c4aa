use half::{bf16, f16};

use super::{Scoring, Sight, Sums};
use crate::cpu::kernels::attention::tile::{STRIP, STRIPS, Stored, TILE, Tile};
use crate::cpu::tests::Random;
use crate::kv_format::{KV_UNIT, KvFormat, encode_unit};
use crate::step::Reach;
use crate::testing::instruction_sets;

/// A full tile of vectors `[64, dim]`, rounded to a format, and what a store would hold of it.
struct Vectors {
    dim: usize,
    wide: Vec<f32>,
    f32: Vec<f32>,
    f16: Vec<f16>,
    bf16: Vec<bf16>,
    codes: Vec<i8>,
    scales: Vec<f16>,
}

impl Vectors {
    fn new(random: &mut Random, format: KvFormat, dim: usize, transposed: bool) -> Self {
        let mut wide = random.values(TILE * dim);
        let (mut codes, mut scales) = (Vec::new(), Vec::new());
        for vector in wide.chunks_mut(dim) {
            for unit in vector.chunks(KV_UNIT) {
                let mut rounded = [0; KV_UNIT];
                scales.push(encode_unit(unit, &mut rounded[..unit.len()]));
                codes.extend_from_slice(&rounded[..unit.len()]);
            }
            format.round(vector);
        }
        let f32 = stored(&wide, dim, transposed);
        Self {
            dim,
            f16: f32.iter().map(|&x| f16::from_f32(x)).collect(),
            bf16: f32.iter().map(|&x| bf16::from_f32(x)).collect(),
            codes: stored(&codes, dim, transposed),
            scales: stored(&scales, dim.div_ceil(KV_UNIT), transposed),
            wide,
            f32,
        }
    }

    fn stored(&self, format: KvFormat) -> Stored<'_> {
        fn strips<T>(all: &[T]) -> [&[T]; STRIPS] {
            std::array::from_fn(|strip| &all[strip * all.len() / STRIPS..(strip + 1) * all.len() / STRIPS])
        }
        match format {
            KvFormat::F32 => Stored::F32(strips(&self.f32)),
            KvFormat::F16 => Stored::F16(strips(&self.f16)),
            KvFormat::Bf16 => Stored::Bf16(strips(&self.bf16)),
            KvFormat::Q8_0 => Stored::Q8_0 { codes: strips(&self.codes), scales: strips(&self.scales) },
        }
    }

    fn vector(&self, i: usize) -> &[f32] {
        &self.wide[i * self.dim..(i + 1) * self.dim]
    }
}

/// Vectors of `width` as strips hold them.
fn stored<T: Copy>(vectors: &[T], width: usize, transposed: bool) -> Vec<T> {
    if !transposed {
        return vectors.to_vec();
    }
    let strips = vectors.chunks(STRIP * width);
    strips.flat_map(|strip| (0..STRIP * width).map(|i| strip[i % STRIP * width + i / STRIP])).collect()
}

/// Dimensions around every width of a vector and of its groups, and those of models.
fn dims() -> impl Iterator<Item = usize> {
    (1..=131).filter(|dim| *dim < 40 || matches!(dim, 63..=66 | 80 | 96 | 112 | 127..=131))
}

fn sights(random: &mut Random) -> Vec<(Sight, usize)> {
    let mut sights = Vec::new();
    for (rows, group) in [(1, 1), (2, 2), (3, 1), (4, 4), (5, 5), (6, 2), (7, 7), (8, 4), (13, 1), (24, 3)] {
        let tile = TILE * random.below(0..3);
        let first = tile + random.below(0..2 * TILE);
        let upto = Reach::Upto(tile + random.below(1..TILE + 20));
        let some = random.below(1..TILE + 20);
        for reach in [Reach::Causal, Reach::Window(some), Reach::Chunk(some), upto] {
            sights.push((Sight { first, row: 0, group, reach, tile }, rows));
        }
    }
    sights
}

#[test]
fn sight_is_what_the_query_reaches() {
    let mut random = Random::new(15);
    for _ in 0..600 {
        let (tile, group) = (TILE * random.below(0..4), random.below(1..4));
        let some = random.below(1..150);
        let reach = [Reach::Causal, Reach::Window(some), Reach::Chunk(some), Reach::Upto(2 * some)][random.below(0..4)];
        let sight = Sight { first: random.below(0..300), row: 0, group, reach, tile };
        for row in 0..12 {
            let position = sight.first + row / group;
            let sees = |key: usize| match reach {
                Reach::Causal => key <= position,
                Reach::Window(n) => key <= position && key + n > position,
                Reach::Chunk(n) => key <= position && key / n == position / n,
                Reach::Upto(end) => key < end,
            };
            let range = sight.of(row);
            assert_eq!(sight.from(row).of(0), range);
            assert_eq!(sight.from(row / 2).from(row - row / 2).of(1), sight.of(row + 1));
            (0..TILE).for_each(|i| assert_eq!(range.contains(&i), sees(tile + i), "{sight:?} {row} {i}"));
        }
    }
}

#[test]
fn scores_are_dot_products_alone_or_beside_others() {
    let mut random = Random::new(11);
    for dim in dims() {
        let format = KvFormat::ALL[random.below(0..4)];
        let vectors = Vectors::new(&mut random, format, dim, true);
        for (sight, rows) in sights(&mut random) {
            let queries = random.values(rows * dim);
            for set in instruction_sets() {
                let (mut scales, mut panel) = (vec![0.0; TILE * dim.div_ceil(KV_UNIT)], vec![0.0; TILE * dim]);
                let tile = set.tile(vectors.stored(format), &mut scales);
                let ahead = vectors.stored(format).ahead(&set);
                let mut scores = vec![7.5; rows * TILE];
                set.scores(&queries, dim, tile, None, sight, &mut scores);
                let mut same = vec![7.5; rows * TILE];
                set.scores(&queries, dim, set.widen_keys(tile, dim, &mut panel), None, sight, &mut same);
                for row in 0..rows {
                    let query = &queries[row * dim..(row + 1) * dim];
                    let mut alone = [0.0; TILE];
                    let own = Sight { first: sight.first + row / sight.group, group: 1, ..sight };
                    set.scores(query, dim, tile, Some(ahead), own, &mut alone);
                    for i in sight.of(row) {
                        let terms = || query.iter().zip(vectors.vector(i)).map(|(&a, &b)| f64::from(a) * f64::from(b));
                        let (exact, sizes): (f64, f64) = (terms().sum(), terms().map(f64::abs).sum());
                        let score = scores[row * TILE + i];
                        let error = (f64::from(score) - exact).abs();
                        assert!(error <= f64::from(f32::EPSILON) * sizes * (dim as f64 + 1.0), "{row} {i}");
                        assert_eq!(alone[i].to_bits(), score.to_bits(), "row {row}, key {i} of {rows}, {set:?}");
                        let wide = same[row * TILE + i];
                        assert_eq!(wide.to_bits(), score.to_bits(), "{format:?} and f32 differ, {set:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn weighted_values_add_up_alone_or_beside_others() {
    let mut random = Random::new(12);
    for dim in dims() {
        let format = KvFormat::ALL[random.below(0..4)];
        let vectors = Vectors::new(&mut random, format, dim, false);
        for (sight, rows) in sights(&mut random) {
            let weights = random.values(rows * TILE);
            let start = random.values(rows * dim);
            for set in instruction_sets() {
                let (mut scales, mut panel) = (vec![0.0; TILE * dim.div_ceil(KV_UNIT)], vec![0.0; TILE * dim]);
                let tile = set.tile(vectors.stored(format), &mut scales);
                let ahead = vectors.stored(format).ahead(&set);
                let mut sums = start.clone();
                set.accumulate(&weights, tile, None, dim, sight, &mut sums);
                let mut same = start.clone();
                set.accumulate(&weights, set.widen_values(tile, dim, &mut panel), None, dim, sight, &mut same);
                assert_eq!(sums, same, "{format:?} and f32 differ");
                for (row, sums) in sums.chunks(dim).enumerate() {
                    let weights = &weights[row * TILE..(row + 1) * TILE];
                    for (d, &sum) in sums.iter().enumerate() {
                        let terms = || {
                            let weighted = |i: usize| f64::from(weights[i]) * f64::from(vectors.vector(i)[d]);
                            sight.of(row).map(weighted).chain([f64::from(start[row * dim + d])])
                        };
                        let (exact, sizes): (f64, f64) = (terms().sum(), terms().map(f64::abs).sum());
                        let error = (f64::from(sum) - exact).abs();
                        assert!(error <= f64::from(f32::EPSILON) * sizes * (TILE as f64 + 1.0), "{row} {d}");
                    }
                    let mut alone = start[row * dim..(row + 1) * dim].to_vec();
                    let own = Sight { first: sight.first + row / sight.group, group: 1, ..sight };
                    set.accumulate(weights, tile, Some(ahead), dim, own, &mut alone);
                    assert_eq!(alone, sums, "row {row} of {rows}, {set:?}");
                }
            }
        }
    }
}

#[test]
fn what_is_not_seen_is_not_looked_at() {
    let mut random = Random::new(14);
    for dim in [1, 24, 64, 67] {
        let queries = random.values(6 * dim);
        let clean = random.values(TILE * dim);
        let sight = Sight { first: 70, row: 0, group: 2, reach: Reach::Window(5), tile: 64 };
        let seen = sight.of_any(0..6);
        let mut poisoned = clean.clone();
        for i in (0..TILE).filter(|i| !seen.contains(i)) {
            poisoned[i * dim..(i + 1) * dim].fill(f32::NAN);
        }
        for set in instruction_sets() {
            let run = |vectors: &[f32]| {
                let keys = stored(vectors, dim, true);
                // The strips behind the last position that is seen need not be there.
                let first = |all: &[f32]| all[..STRIP * dim].to_vec();
                let (keys, values) = (first(&keys), first(vectors));
                let (keys, values) = (Tile::F32([&keys, &[], &[], &[]]), Tile::F32([&values, &[], &[], &[]]));
                let (mut scores, mut sums) = (vec![0.0; 6 * TILE], vec![0.0; 6 * (dim + 2)]);
                let mut sums = Sums::new(&mut sums, 6, dim);
                sums.clear();
                set.scores(&queries, dim, keys, None, sight, &mut scores);
                set.weigh(&mut scores, Scoring { scale: 0.3, soft_cap: None }, sight, &mut sums);
                set.accumulate(&scores, values, None, dim, sight, sums.values);
                (sums.max.to_vec(), sums.total.to_vec(), sums.values.to_vec())
            };
            assert!(seen.end <= STRIP);
            assert_eq!(run(&clean), run(&poisoned), "{set:?}");
        }
    }
}

#[test]
fn weights_are_exponentials_relative_to_the_largest() {
    let mut random = Random::new(13);
    for round in 0..200 {
        let (dim, group) = (random.below(1..40), random.below(1..4));
        let some = random.below(1..100);
        let reach = [Reach::Window(some), Reach::Causal, Reach::Chunk(some), Reach::Upto(64 + some)][round % 4];
        let rows = random.below(1..9);
        let sight = Sight { first: 64 + random.below(0..100), row: 0, group, reach, tile: 64 };
        let scoring = Scoring { scale: 0.7, soft_cap: (round % 2 == 0).then_some(1.5) };
        let (raw, start) = (random.values(rows * TILE), random.values(rows * dim));
        for set in instruction_sets() {
            {
                let mut memory = vec![0.0; rows * (dim + 2)];
                let mut sums = Sums::new(&mut memory, rows, dim);
                // Half of the rows come with sums of earlier tiles.
                for row in 0..rows {
                    let old = row % 2 == 1;
                    (sums.max[row], sums.total[row]) = if old { (0.4, 3.0) } else { (f32::NEG_INFINITY, 0.0) };
                }
                sums.values.copy_from_slice(&start);
                let mut weights = raw.clone();
                set.weigh(&mut weights, scoring, sight, &mut sums);
                for row in 0..rows {
                    let (before, total) = if row % 2 == 1 { (0.4f32, 3.0) } else { (f32::NEG_INFINITY, 0.0) };
                    let scores: Vec<f64> = sight
                        .of(row)
                        .map(|i| {
                            let score = f64::from(raw[row * TILE + i]) * 0.7f32 as f64;
                            scoring.soft_cap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
                        })
                        .collect();
                    let max = scores.iter().copied().fold(f64::from(before), f64::max);
                    let near = |found: f32, exact: f64| {
                        assert!((f64::from(found) - exact).abs() <= 2e-6 * exact.abs() + 1e-12, "{found}, not {exact}");
                    };
                    if max.is_finite() {
                        near(sums.max[row], max);
                    }
                    let factor = if before.is_finite() { (f64::from(before) - max).exp() } else { 0.0 };
                    let kept = scores.is_empty() || f64::from(before) >= max;
                    let mut sum = f64::from(total as f32) * if kept { 1.0 } else { factor };
                    for (i, score) in sight.of(row).zip(&scores) {
                        near(weights[row * TILE + i], (score - f64::from(sums.max[row])).exp());
                        sum += (score - max).exp();
                    }
                    near(sums.total[row], sum);
                    for (value, old) in sums.row(row).iter().zip(&start[row * dim..]) {
                        let expected = f64::from(*old) * if kept { 1.0 } else { factor };
                        assert!((f64::from(*value) - expected).abs() <= 1e-6 * f64::from(old.abs()));
                    }
                }
            }
        }
    }
}
