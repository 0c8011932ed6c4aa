//! Portable kernels: what runs where there is nothing better.

use super::{ROWS, Strip, Sums};
use crate::Format;
use crate::cpu::activations::{ActivationUnit, quantize_units};
use crate::formats::{BF16, Block, F16, F32, blocks};

/// Quantizes consecutive units of 32 values.
pub(super) fn quantize(x: &[f32], units: &mut [ActivationUnit]) {
    quantize_units(x, units);
}

/// See [`super::Kernels::float_strip`].
pub(super) fn float_strip(strip: Strip<'_>, tokens: &[f32], sums: &mut [Sums]) {
    match strip.format {
        Format::F32 => float::<F32>(strip, tokens, sums),
        Format::F16 => float::<F16>(strip, tokens, sums),
        Format::BF16 => float::<BF16>(strip, tokens, sums),
        _ => sums.fill(Sums::default()),
    }
}

fn float<B: Block>(strip: Strip<'_>, tokens: &[f32], sums: &mut [Sums]) {
    const LANES: usize = 8;
    sums.fill(Sums::default());
    let mut weights = [0.0; LANES];
    for row in 0..strip.rows() {
        for (token, sums) in tokens.chunks_exact(strip.cols.max(1)).zip(sums.iter_mut()) {
            let mut lanes = [0.0f32; LANES];
            for (blocks, x) in blocks::<B>(strip.row(row)).chunks(LANES).zip(token.chunks(LANES)) {
                for (block, weight) in blocks.iter().zip(&mut weights) {
                    block.decode(std::slice::from_mut(weight));
                }
                for ((lane, &x), &weight) in lanes.iter_mut().zip(x).zip(&weights) {
                    *lane += x * weight;
                }
            }
            sums[row / ROWS][row % ROWS] = lanes.iter().sum();
        }
    }
}
