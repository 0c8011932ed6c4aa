//! Envelopes against a search of the whole book, and every instruction set against the portable body.

use super::*;
use crate::cpu::tests::Random;

/// Points of small odd numbers, some of them twice.
fn book(random: &mut Random) -> Book<4, 64> {
    let points: Vec<[f32; 4]> = (0..64).map(|_| std::array::from_fn(|_| (2 * random.below(0..8) + 1) as f32)).collect();
    Book::new(points.into_iter())
}

/// `Σ costs (x - scale point)²` with the cheapest sign turned where `odd`.
fn error(x: &[f32; 4], costs: &[f32; 4], point: &[f32; 4], odd: bool, scale: f32) -> f64 {
    let flip = odd.then(|| cheapest_flip(x, costs, point));
    let one = |i: usize| {
        let value = if flip == Some(i) { -point[i] } else { point[i] };
        f64::from(costs[i]) * (f64::from(x[i]) - f64::from(scale) * f64::from(value)).powi(2)
    };
    (0..4).map(one).sum()
}

#[test]
fn envelopes_hold_the_best_point_of_every_scale() {
    let mut random = Random::new(11);
    for round in 0..200 {
        let book = book(&mut random);
        let x: [f32; 4] = std::array::from_fn(|_| random.value().abs());
        let costs: [f32; 4] = std::array::from_fn(|i| if round % 3 == 0 { 1.0 } else { 0.1 + i as f32 });
        let odd = round % 2 == 1;
        let envelope = Envelope::new(&book, &x, &costs, odd, [0.02, 0.5]);
        let energy: f64 = (0..4).map(|i| f64::from(costs[i]) * f64::from(x[i]).powi(2)).sum();
        for step in 0..=100 {
            let scale = 0.02 * 25f32.powf(step as f32 / 100.0);
            let found = error(&x, &costs, &book.point(envelope.point(scale)), odd, scale);
            let least = (0..64).map(|g| error(&x, &costs, &book.point(g), odd, scale)).fold(f64::MAX, f64::min);
            // The tolerance of the search, and where it ran out of segments, is a share of what the group contributes.
            let slack = 1e-3 * (energy + f64::from(scale).powi(2) * 4.0 * 225.0 * f64::from(costs[3]));
            assert!(found <= least + slack, "round {round}, scale {scale}: {found}, not {least}");
        }
    }
}

#[test]
fn every_instruction_set_finds_the_same_envelope() {
    let mut random = Random::new(12);
    for round in 0..50 {
        let book = book(&mut random);
        let x: [f32; 4] = std::array::from_fn(|_| random.value().abs());
        let costs: [f32; 4] = std::array::from_fn(|_| random.value().abs());
        let portable = format!("{:?}", envelope(&book, &x, &costs, round % 2 == 0, 0.05, 0.4));
        #[cfg(target_arch = "x86_64")]
        {
            if std::is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has the feature.
                let found = unsafe { envelope_avx2(&book, &x, &costs, round % 2 == 0, 0.05, 0.4) };
                assert_eq!(format!("{found:?}"), portable);
            }
            if std::is_x86_feature_detected!("avx512f") {
                // SAFETY: the processor has the feature.
                let found = unsafe { envelope_avx512(&book, &x, &costs, round % 2 == 0, 0.05, 0.4) };
                assert_eq!(format!("{found:?}"), portable);
            }
        }
        assert!(!portable.contains("NaN"));
    }
}

#[test]
fn scales_that_the_block_can_hold_are_found_again() {
    let mut random = Random::new(13);
    let book = book(&mut random);
    let d = 2f32.powi(-7) * 1.25;
    for top in [9u8, 12, 15] {
        let steps: [u8; 8] =
            std::array::from_fn(|u| if u == 3 { top } else { random.below(3..usize::from(top)) as u8 });
        let units: [Unit; 8] = std::array::from_fn(|u| {
            let scale = d * f32::from(2 * steps[u] + 1);
            let parts: Vec<Part> = (0..8)
                .map(|_| {
                    let x = book.point(random.below(0..64) as u16).map(|value| value * scale);
                    Part::plain(vec![Envelope::new(&book, &x, &[1.0; 4], false, [0.5 * scale, 2.0 * scale])])
                })
                .collect();
            Unit { parts, range: [0.5 * scale, 2.0 * scale] }
        });
        let found = block_scales(&units, 15, 1.0);
        let scale = |u: usize| f16_value(found.d) * f32::from(2 * found.steps[u] + 1);
        for (u, &step) in steps.iter().enumerate() {
            let expected = d * f32::from(2 * step + 1);
            assert!((scale(u) / expected - 1.0).abs() < 1e-3, "top {top}, unit {u}: {} for {expected}", scale(u));
        }
    }
}

/// The same bits: what an encoder writes does not depend on how its scales are tried.
#[test]
fn scales_tried_at_once_are_each_as_alone() {
    let mut random = Random::new(14);
    let book = book(&mut random);
    for round in 0..50 {
        let range = [0.02, if round % 5 == 0 { 0.02 } else { 0.3 }];
        let mut envelope = |odd: bool| {
            let x: [f32; 4] = std::array::from_fn(|_| random.value().abs());
            let costs: [f32; 4] = std::array::from_fn(|i| 0.1 + (i * (round % 4)) as f32);
            Envelope::new(&book, &x, &costs, odd, range)
        };
        let mut parts: Vec<Part> = (0..3).map(|_| Part::plain(vec![envelope(false), envelope(true)])).collect();
        let alternatives = (0..2).map(|i| (0..4).map(|j| envelope((i + j) % 2 == 0)).collect()).collect();
        parts.push(Part { alternatives });
        parts.push(Part::plain(Vec::new()));
        let unit = Unit { parts, range };
        // From below the range to beyond it, some of them twice.
        let scales = std::array::from_fn(|trial| 0.01 * 64f64.powf((trial / 2 * 2) as f64 / 32.0));
        let bits = |sums: (f64, f64)| (sums.0.to_bits(), sums.1.to_bits());
        let alone = scales.map(|scale| bits(unit.sums(scale)));
        assert_eq!(unit.sums_of(&scales).map(bits), alone, "round {round}");
        // A range of one scale may have one point.
        assert!(round % 5 == 0 || alone[0] != alone[16] && alone[16] != alone[32], "round {round}");
    }
}
