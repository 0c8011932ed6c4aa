//! Strips in block formats that are no grid of integers (F8_E4M3, NF4, FP4): a row is decoded to f32, piece by piece, for all tokens.

use super::super::{ROWS, Strip, Sums};
use crate::formats::{Block, blocks, with_block};

/// Columns of a piece: a multiple of every block, and small enough to stay in a level 1 cache.
const PIECE: usize = 512;
/// Sums kept apart along a row; in the end they are added in order.
const LANES: usize = 16;

/// See [`super::super::Kernels::float_strip`].
pub(in super::super) fn decoded_strip(strip: Strip<'_>, tokens: &[f32], sums: &mut [Sums]) {
    sums.fill(Sums::default());
    with_block!(strip.format, B => decoded::<B>(strip, tokens, sums), _ => ());
}

fn decoded<B: Block>(strip: Strip<'_>, tokens: &[f32], sums: &mut [Sums]) {
    let mut weights = [0.0; PIECE];
    let mut lanes = vec![[0.0f32; LANES]; sums.len()];
    for row in 0..strip.rows() {
        lanes.fill([0.0; LANES]);
        for (index, blocks) in blocks::<B>(strip.row(row)).chunks(PIECE / B::WEIGHTS).enumerate() {
            let weights = &mut weights[..blocks.len() * B::WEIGHTS];
            for (block, weights) in blocks.iter().zip(weights.chunks_exact_mut(B::WEIGHTS)) {
                block.decode(weights);
            }
            for (token, lanes) in tokens.chunks_exact(strip.cols.max(1)).zip(&mut lanes) {
                let x = token.get(index * PIECE..).unwrap_or_default();
                for (weights, x) in weights.chunks(LANES).zip(x.chunks(LANES)) {
                    for ((lane, &x), &weight) in lanes.iter_mut().zip(x).zip(weights) {
                        *lane += x * weight;
                    }
                }
            }
        }
        for (sums, lanes) in sums.iter_mut().zip(&lanes) {
            sums[row / ROWS][row % ROWS] = lanes.iter().sum();
        }
    }
}
