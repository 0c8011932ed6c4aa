//! Rotary frequencies: a [`RopeSpec`] turned into the cosines and sines of a step.
//!
//! Frequencies are computed in f64 and rounded once to f32; angles are f32 products, as the checkpoints were trained.

use std::f64::consts::PI;
use std::sync::Arc;

use crate::spec::{RopeScaling, RopeSpec, Temperature};

/// The frequencies of one [`RopeSpec`], ready for any position.
#[derive(Debug, Clone)]
pub(crate) struct RopeTable {
    spec: RopeSpec,
    /// `[rotary_dim / 2]`, for lengths up to the pretrained one.
    frequencies: Vec<f32>,
    /// The same beyond it, where that differs and does not depend on the length itself.
    long: Option<(usize, Vec<f32>)>,
    attention_factor: f32,
}

impl RopeTable {
    pub(crate) fn new(spec: &RopeSpec) -> Self {
        let plain = powers(spec.theta, spec.rotary_dim);
        let divided = |by: &[f32]| plain.iter().zip(by).map(|(f, d)| f / f64::from(*d)).collect::<Vec<_>>();
        let mut long = None;
        let mut attention_factor = 1.0;
        let frequencies = match &spec.scaling {
            RopeScaling::None | RopeScaling::Dynamic { .. } => plain,
            RopeScaling::Linear { factor, .. } => plain.iter().map(|f| f / factor).collect(),
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original } => {
                let blend = |f: f64| llama3(f, *factor, *low_freq_factor, *high_freq_factor, *original as f64);
                plain.iter().map(|&f| blend(f)).collect()
            }
            RopeScaling::Yarn { factor, original, beta_fast, beta_slow, truncate, attention_factor: a } => {
                attention_factor = *a;
                let (low, high) = yarn_range(spec, *original as f64, *beta_fast, *beta_slow, *truncate);
                let keep = |i: usize| 1.0 - ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                plain.iter().enumerate().map(|(i, f)| f / factor * (1.0 - keep(i)) + f * keep(i)).collect()
            }
            RopeScaling::LongRope { short, long: factors, original, attention_factor: a } => {
                attention_factor = *a;
                long = Some((*original, narrow(&divided(factors))));
                divided(short)
            }
            RopeScaling::Factors(factors) => divided(factors),
        };
        let frequencies = narrow(&frequencies);
        Self { spec: spec.clone(), frequencies, long, attention_factor: attention_factor as f32 }
    }

    /// Whether this table serves a layer of `spec`: all but the pairing, which the rotation itself applies, must be equal.
    pub(crate) fn same(&self, spec: &RopeSpec) -> bool {
        *spec == RopeSpec { style: spec.style, ..self.spec.clone() }
    }

    /// Appends cos and sin of `tokens` positions from `position`, in a sequence of `length`. Each `[tokens, rotary_dim / 2]`.
    pub(crate) fn extend(&self, position: usize, tokens: usize, length: usize, cos: &mut Vec<f32>, sin: &mut Vec<f32>) {
        let grown;
        let frequencies = match (&self.spec.scaling, &self.long) {
            (RopeScaling::Dynamic { factor, original }, _) if length > *original => {
                let dim = self.spec.rotary_dim as f64;
                let growth = factor * length as f64 / *original as f64 - (factor - 1.0);
                grown = narrow(&powers(self.spec.theta * growth.powf(dim / (dim - 2.0)), self.spec.rotary_dim));
                &grown
            }
            (_, Some((original, long))) if length > *original => long,
            _ => &self.frequencies,
        };
        for p in position..position + tokens {
            for f in frequencies {
                let (s, c) = f64::from(p as f32 * f).sin_cos();
                cos.push(c as f32 * self.attention_factor);
                sin.push(s as f32 * self.attention_factor);
            }
        }
    }
}

impl Temperature {
    /// Returns the factor of a query at `position`.
    pub(crate) fn factor(self, position: usize) -> f32 {
        let steps = ((position as f32 + 1.0) / self.floor_scale).floor();
        (f64::from(steps).ln_1p() * f64::from(self.scale) + 1.0) as f32
    }
}

/// What each frequency of a scaling that does not depend on the length is divided by, as GGUF's `rope_freqs` has it.
/// Shape `[rotary_dim / 2]`.
pub(crate) fn divisors(spec: &RopeSpec) -> Arc<[f32]> {
    let scaled = |f: f64| match &spec.scaling {
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original } => {
            llama3(f, *factor, *low_freq_factor, *high_freq_factor, *original as f64)
        }
        _ => f,
    };
    match &spec.scaling {
        RopeScaling::Factors(factors) => Arc::clone(factors),
        _ => powers(spec.theta, spec.rotary_dim).iter().map(|&f| (f / scaled(f)) as f32).collect(),
    }
}

fn powers(theta: f64, dim: usize) -> Vec<f64> {
    (0..dim / 2).map(|i| theta.powf(-((2 * i) as f64) / dim as f64)).collect()
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}

fn llama3(frequency: f64, factor: f64, low: f64, high: f64, original: f64) -> f64 {
    let wavelength = 2.0 * PI / frequency;
    if wavelength < original / high {
        frequency
    } else if wavelength > original / low {
        frequency / factor
    } else {
        let smooth = (original / wavelength - low) / (high - low);
        (1.0 - smooth) * frequency / factor + smooth * frequency
    }
}

/// The dimensions between which YaRN blends.
fn yarn_range(spec: &RopeSpec, original: f64, fast: f64, slow: f64, truncate: bool) -> (f64, f64) {
    let dim = spec.rotary_dim as f64;
    let dimension = |rotations: f64| dim * (original / (rotations * 2.0 * PI)).ln() / (2.0 * spec.theta.ln());
    let (mut low, mut high) = (dimension(fast), dimension(slow));
    if truncate {
        (low, high) = (low.floor(), high.ceil());
    }
    (low, high) = (low.max(0.0), high.min(dim - 1.0));
    if low == high { (low, high + 0.001) } else { (low, high) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mistral_quant::backend::RopeStyle;

    fn table(scaling: RopeScaling) -> RopeTable {
        RopeTable::new(&RopeSpec { theta: 10_000.0, rotary_dim: 8, style: RopeStyle::Halves, scaling })
    }

    fn angles(t: &RopeTable, position: usize, length: usize) -> Vec<f32> {
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        t.extend(position, 1, length, &mut cos, &mut sin);
        cos.iter().zip(&sin).map(|(c, s)| s.atan2(*c)).collect()
    }

    #[test]
    fn plain_frequencies_are_powers_of_theta() {
        let a = angles(&table(RopeScaling::None), 1, 2);
        for (i, angle) in a.iter().enumerate() {
            assert!((angle - 10f32.powi(-(i as i32))).abs() < 1e-6, "{i}: {angle}");
        }
    }

    #[test]
    fn scalings_agree_with_their_definitions() {
        let linear = angles(&table(RopeScaling::Linear { factor: 4.0, original: 16 }), 1, 2);
        assert!((linear[0] - 0.25).abs() < 1e-6);
        let dynamic = table(RopeScaling::Dynamic { factor: 2.0, original: 16 });
        assert_eq!(angles(&dynamic, 3, 16), angles(&table(RopeScaling::None), 3, 4));
        // length 32: theta * (2 * 2 - 1)^(8/6)
        let theta: f64 = 10_000.0 * 3f64.powf(8.0 / 6.0);
        assert!((f64::from(angles(&dynamic, 1, 32)[1]) - theta.powf(-0.25)).abs() < 1e-6);
        let long = table(RopeScaling::LongRope {
            short: [1.0, 2.0, 4.0, 8.0].into(),
            long: [2.0; 4].into(),
            original: 4,
            attention_factor: 1.0,
        });
        assert!((angles(&long, 1, 4)[1] - 0.05).abs() < 1e-6);
        assert!((angles(&long, 1, 5)[0] - 0.5).abs() < 1e-6);
        let same = RopeScaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original: 32 };
        let llama3 = angles(&table(same), 1, 2);
        assert_eq!(llama3[0], 1.0, "wavelength 6.3 is below 32 / 4");
        assert!((llama3[2] - 0.01 / 8.0).abs() < 1e-7, "wavelength 628 is above 32");
    }
}
