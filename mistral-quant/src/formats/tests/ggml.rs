//! What the encoders lose, next to those of ggml: the numbers come from `goldens/ggml_errors.py`, which runs the genuine library.

use super::super::{decode_row, encode_row_with};
use crate::format::Format;

const ERRORS: &str = include_str!("../../../goldens/ggml_errors.tsv");
const ROWS: usize = 16;
const COLS: usize = 512;

/// Importance of the columns and weights, as `made` of the script: every number is exact in f32.
fn made(kind: &str) -> (Vec<f32>, Vec<f32>) {
    let mut state: u64 = if kind == "heavy" { 2 } else { 1 };
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 48) as i32
    };
    let importance = (0..COLS).map(|_| (1 + next() / 4096).pow(3) as f32).collect();
    let weight = |_| {
        let weight = next() + next() + next() + next() - 131072;
        let factor = [1, 1, 1, 1, 2, 2, 3, 5][next() as usize % 8];
        (weight * if kind == "heavy" { factor } else { 1 }) as f32 * 2f32.powi(-20)
    };
    (importance, (0..ROWS * COLS).map(weight).collect())
}

/// `Σ importance error² / Σ importance x²`; all columns count alike where `importance` is not given to the encoder.
fn error(format: Format, importance: &[f32], x: &[f32], given: bool) -> f64 {
    let (mut lost, mut all) = (0.0, 0.0);
    for x in x.chunks_exact(COLS) {
        let mut y = vec![0.0; COLS];
        decode_row(format, &encode_row_with(format, x, given.then_some(importance)).unwrap(), &mut y).unwrap();
        for ((&x, &y), &one) in x.iter().zip(&y).zip(importance) {
            let one = if given { f64::from(one) } else { 1.0 };
            lost += one * (f64::from(x) - f64::from(y)).powi(2);
            all += one * f64::from(x).powi(2);
        }
    }
    lost / all
}

/// The greatest share of ggml's error that an encoder may lose.
fn factor(format: Format) -> f64 {
    match format {
        // Both stretch their scales, which costs error and saves perplexity; this one stretches heavy tails more than ggml does.
        Format::IQ1_S => 1.02,
        // Rounding: where an encoder has no choice, both lose the same.
        _ => 1.0001,
    }
}

#[test]
fn encoders_lose_no_more_than_those_of_ggml() {
    let mut worse = Vec::new();
    for line in ERRORS.lines() {
        let [name, kind, given, theirs] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let (format, theirs) = (Format::from_name(name).unwrap(), theirs.parse::<f64>().unwrap());
        let (importance, x) = made(kind);
        let ratio = error(format, &importance, &x, given == "importance") / theirs;
        eprintln!("{name:8} {kind:6} {given:10} {ratio:.4} of {theirs:.3e}");
        if ratio > factor(format) {
            worse.push(format!("{name} {kind} {given}: {ratio:.4}"));
        }
    }
    assert!(worse.is_empty(), "these lose more than ggml's, by more than the factor: {worse:#?}");
}

#[test]
fn every_encoder_that_chooses_is_measured() {
    let simple = [Format::F32, Format::F16, Format::BF16, Format::Q8_1, Format::Q8_K];
    for format in Format::all().filter(|format| format.is_computable() && format.gguf_id().is_some()) {
        let lines = ERRORS.lines().filter(|line| line.split('\t').next() == Some(format.name())).count();
        let expected = if simple.contains(&format) {
            0
        } else if format.needs_importance() {
            2
        } else {
            4
        };
        assert_eq!(lines, expected, "{format}");
    }
}
