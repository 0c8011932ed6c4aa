use half::f16;

use super::{AttentionKernels, Rows};
use crate::Isa;
use crate::cpu::Kernels;
use crate::cpu::elementwise::Elementwise;
use crate::cpu::kv::Panel;
use crate::cpu::tests::Random;

fn sets() -> [AttentionKernels; 2] {
    [Kernels::detect(), Kernels::with_limit(Isa::Scalar)].map(|k| AttentionKernels::new(Elementwise::new(&k)))
}

/// Both formats of the same numbers, which f16 holds exactly.
fn panels(random: &mut Random, len: usize) -> (Vec<f32>, Vec<f16>) {
    let narrow: Vec<f16> = (0..len).map(|_| f16::from_f32(random.value())).collect();
    (narrow.iter().map(|value| value.to_f32()).collect(), narrow)
}

#[test]
fn scores_are_dot_products_alone_or_beside_others() {
    let mut random = Random::new(11);
    for dim in (1..40).chain([64, 80, 128, 131]) {
        for (rows, keys) in [(1, 1), (1, 19), (2, 5), (3, 9), (4, 3), (5, 8), (7, 17), (8, 1), (9, 33)] {
            let queries = random.values(rows * dim);
            let (wide, narrow) = panels(&mut random, keys * dim);
            let stride = keys + 3;
            for set in sets() {
                let mut scores = vec![7.5; rows * stride];
                set.scores(&queries, Panel::F32(&wide), dim, &mut scores, stride);
                let mut same = vec![7.5; rows * stride];
                set.scores(&queries, Panel::F16(&narrow), dim, &mut same, stride);
                assert_eq!(scores, same);
                for (row, (query, scores)) in queries.chunks(dim).zip(scores.chunks(stride)).enumerate() {
                    assert_eq!(scores[keys..], [7.5; 3]);
                    for (i, key) in wide.chunks(dim).enumerate() {
                        let terms = || query.iter().zip(key).map(|(&a, &b)| f64::from(a) * f64::from(b));
                        let (exact, sizes): (f64, f64) = (terms().sum(), terms().map(f64::abs).sum());
                        let error = (f64::from(scores[i]) - exact).abs();
                        assert!(error <= f64::from(f32::EPSILON) * sizes * (dim as f64 / 8.0 + 4.0), "{row} {i}");
                        let mut alone = [0.0];
                        set.scores(query, Panel::F32(key), dim, &mut alone, 1);
                        assert_eq!(alone[0].to_bits(), scores[i].to_bits(), "row {row}, key {i} of {rows} x {keys}");
                    }
                }
            }
        }
    }
}

#[test]
fn weighted_values_add_up_alone_or_beside_others() {
    let mut random = Random::new(12);
    for dim in (1..40).chain([64, 80, 128, 131]) {
        for (rows, values) in [(1, 1), (1, 19), (2, 5), (3, 9), (4, 16), (5, 8), (7, 17), (9, 33)] {
            let (wide, narrow) = panels(&mut random, values * dim);
            let stride = values + 2;
            let weights = random.values(rows * stride);
            let start = random.values(rows * dim);
            let ranges: Vec<_> = (0..rows)
                .map(|_| {
                    let first = random.below(0..values + 1);
                    first..random.below(first..values + 1)
                })
                .collect();
            for set in sets() {
                let of = |weights, rows| Rows { values: weights, stride, rows };
                let mut sums = start.clone();
                let range = |row: usize| ranges[row].clone();
                set.accumulate(of(&weights, rows), Panel::F32(&wide), dim, &mut sums, &range);
                let mut same = start.clone();
                set.accumulate(of(&weights, rows), Panel::F16(&narrow), dim, &mut same, &range);
                assert_eq!(sums, same);
                for (row, sums) in sums.chunks(dim).enumerate() {
                    let weights = &weights[row * stride..];
                    for d in 0..dim {
                        let terms = || {
                            let weighted = |i: usize| f64::from(weights[i]) * f64::from(wide[i * dim + d]);
                            ranges[row].clone().map(weighted).chain([f64::from(start[row * dim + d])])
                        };
                        let (exact, sizes): (f64, f64) = (terms().sum(), terms().map(f64::abs).sum());
                        let error = (f64::from(sums[d]) - exact).abs();
                        assert!(error <= f64::from(f32::EPSILON) * sizes * (values as f64 + 1.0), "{row} {d}");
                    }
                    let mut alone = start[row * dim..(row + 1) * dim].to_vec();
                    set.accumulate(of(weights, 1), Panel::F32(&wide), dim, &mut alone, &|_| range(row));
                    assert_eq!(alone, sums, "row {row} of {rows}, {values} values");
                }
            }
        }
    }
}

#[test]
fn every_f16_is_widened_exactly() {
    let all: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
    for set in sets() {
        // As keys of one dimension, 8 lanes and a tail, and as values.
        for dim in [1, 8] {
            let mut query = vec![0.0; dim];
            query[0] = 1.0;
            let keys: Vec<f16> = all.iter().flat_map(|&x| [x].into_iter().chain(vec![f16::ZERO; dim - 1])).collect();
            let mut scores = vec![0.0; all.len()];
            set.scores(&query, Panel::F16(&keys), dim, &mut scores, all.len());
            for (&x, &score) in all.iter().zip(&scores) {
                assert!(score == x.to_f32() || (score.is_nan() && x.is_nan()), "{x}: {score}");
            }
        }
        let mut sums = vec![0.0; all.len()];
        let weights = Rows { values: &[1.0], stride: 1, rows: 1 };
        set.accumulate(weights, Panel::F16(&all), all.len(), &mut sums, &|_| 0..1);
        for (&x, &sum) in all.iter().zip(&sums) {
            assert!(sum == x.to_f32() || (sum.is_nan() && x.is_nan()), "{x}: {sum}");
        }
    }
}
