use super::{Elementwise, erfc_of_positive};
use crate::cpu::kernels::lanes::{FloatLanes, LaneKernel};
use crate::cpu::tests::ACTIVATIONS;
use crate::testing::instruction_sets;

fn sets() -> Vec<Elementwise> {
    instruction_sets().iter().map(Elementwise::new).collect()
}

/// Numbers of every sign, size and last digit, by stepping through the bit patterns.
fn numbers(step: usize) -> Vec<f32> {
    (0..=u32::MAX).step_by(step).map(f32::from_bits).collect()
}

#[test]
fn exponentials_are_near_over_the_whole_range() {
    for set in sets() {
        for x in numbers(65_521) {
            let mut lanes = [x; 1];
            let sum = set.exponentials(&mut lanes, 0.0);
            let found = lanes[0];
            let expected = f64::from(x).exp();
            if x.is_nan() {
                assert!(found.is_nan() && sum.is_nan());
            } else if expected < 3e-38 {
                assert!((0.0..=3e-38).contains(&found), "{x}: {found}");
            } else if expected > f64::from(f32::MAX) {
                assert!(found > 3.4e38, "{x}: {found}");
            } else {
                let error = (f64::from(found) / expected - 1.0).abs();
                assert!(error < 2.0 * f64::from(f32::EPSILON), "{x}: {found}, {expected}");
            }
        }
        // The range in which weights of attention lie, densely.
        let mut x: Vec<f32> = (0..1_000_000).map(|i| -(i as f32) * 87e-6).collect();
        let exact: Vec<f64> = x.iter().map(|&x| f64::from(x).exp()).collect();
        let sum = set.exponentials(&mut x, 0.0);
        for (&found, &exact) in x.iter().zip(&exact) {
            assert!((f64::from(found) / exact - 1.0).abs() < 2.0 * f64::from(f32::EPSILON) || exact < 3e-38);
        }
        let exact: f64 = exact.iter().sum();
        assert!((f64::from(sum) / exact - 1.0).abs() < 1e-4);
    }
}

#[test]
fn soft_caps_are_near_over_the_whole_range() {
    for set in sets() {
        let x: Vec<f32> = numbers(65_519).into_iter().filter(|x| x.is_finite()).collect();
        for cap in [1.0f32, 30.0] {
            let mut found = x.clone();
            set.soft_cap(&mut found, cap);
            for (&x, &found) in x.iter().zip(&found) {
                let expected = f64::from(cap) * (f64::from(x) / f64::from(cap)).tanh();
                let allowed = 4.0 * f64::from(f32::EPSILON) * expected.abs() + 1e-37;
                assert!((f64::from(found) - expected).abs() <= allowed, "{x}: {found}, {expected}");
            }
        }
        let mut special = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
        set.soft_cap(&mut special, 5.0);
        assert_eq!(special[..2], [5.0, -5.0]);
        assert!(special[2].is_nan());
    }
}

struct Erfc(Vec<f32>);

impl LaneKernel for Erfc {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<L: FloatLanes>(mut self, lanes: L) -> Vec<f32> {
        for x in self.0.chunks_exact_mut(L::LANES) {
            // SAFETY: `LANES` elements.
            unsafe { lanes.store(x.as_mut_ptr(), erfc_of_positive(lanes, lanes.load(x.as_ptr()))) };
        }
        self.0
    }
}

#[test]
fn the_error_function_is_near_its_series() {
    let z: Vec<f32> = (0..48_000).map(|i| i as f32 * 2e-4).collect();
    for kernels in instruction_sets() {
        for (&z, found) in z.iter().zip(kernels.run(Erfc(z.clone()))) {
            let expected = crate::reference::erfc(f64::from(z));
            if expected > 1e-37 {
                let error = (f64::from(found) / expected - 1.0).abs();
                assert!(error < 1e-6, "{z}: {error}");
            }
        }
        assert_eq!(kernels.run(Erfc(vec![f32::INFINITY; 16])), [0.0; 16]);
    }
    // Abramowitz and Stegun, table 7.1.
    assert!((1.0 - crate::reference::erfc(0.5) - 0.520_499_877_8).abs() < 1e-10);
    assert!((1.0 - crate::reference::erfc(1.5) - 0.966_105_146_5).abs() < 1e-10);
    assert!((crate::reference::erfc(-1.0) - 1.842_700_792_9).abs() < 1e-10);
}

#[test]
fn an_element_does_not_depend_on_its_place() {
    let x: Vec<f32> = (0..50).map(|i| (i as f32 - 25.0) * 0.37).collect();
    let up = vec![1.25; x.len()];
    for set in sets() {
        for activation in ACTIVATIONS {
            let mut all = x.clone();
            set.glu(&mut all, &up, activation);
            for (i, &x) in x.iter().enumerate() {
                let mut alone = [x];
                set.glu(&mut alone, &up[i..=i], activation);
                assert_eq!(alone[0].to_bits(), all[i].to_bits());
            }
        }
        let mut all = x.clone();
        set.exponentials(&mut all, 3.0);
        for (i, &x) in x.iter().enumerate() {
            let mut alone = [x];
            set.exponentials(&mut alone, 3.0);
            assert_eq!(alone[0].to_bits(), all[i].to_bits());
        }
    }
}
