//! Portable kernels: the definition of what the others compute, and what runs where there is nothing better.

mod decoded;

pub(super) use decoded::decoded_strip;

use super::{ROWS, Strip, Sums};
use crate::Format;
use crate::cpu::activations::{ActivationUnit, quantize_units};
use crate::formats::{BF16, Block, F16, F32, Grid, UNIT, blocks, with_grid};

/// Quantizes consecutive units of 32 values.
pub(super) fn quantize(x: &[f32], units: &mut [ActivationUnit]) {
    quantize_units(x, units);
}

/// See [`super::Kernels::integer_strip`].
pub(super) fn integer_strip(strip: Strip<'_>, tokens: &[ActivationUnit], sums: &mut [Sums]) {
    sums.fill(Sums::default());
    with_grid!(strip.format, B => {
        let units = strip.cols / UNIT;
        for row in 0..strip.rows() {
            for (index, block) in blocks::<B>(strip.row(row)).iter().enumerate() {
                add_block(block, index * (B::WEIGHTS / UNIT), tokens, units, row, sums);
            }
        }
    }, _ => ());
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

/// Adds one block's share of a row to the sums of all tokens.
fn add_block<B: Grid>(block: &B, first: usize, tokens: &[ActivationUnit], units: usize, row: usize, sums: &mut [Sums]) {
    for index in 0..B::WEIGHTS / UNIT {
        let weights = block.unit(index);
        for (token, sums) in tokens.chunks_exact(units).zip(sums.iter_mut()) {
            let Some(unit) = token.get(first + index) else { return };
            let sum = &mut sums[row / ROWS][row % ROWS];
            let mut isums = [0; 2];
            for (i, &activation) in unit.codes.as_flattened().iter().enumerate() {
                isums[i / 16] += (i32::from(weights.codes[i]) - i32::from(B::OFFSET)) * i32::from(activation);
            }
            if B::HALVES {
                for (half, isum) in isums.into_iter().enumerate() {
                    *sum += isum as f32 * (weights.scales[half] * unit.scale);
                    if B::MINS {
                        *sum -= weights.mins[half] * (unit.scale * unit.sums[half] as f32);
                    }
                }
            } else {
                *sum += (isums[0] + isums[1]) as f32 * (weights.scales[0] * unit.scale);
                if B::MINS {
                    *sum -= weights.mins[0] * unit.scaled_sum;
                }
            }
        }
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
