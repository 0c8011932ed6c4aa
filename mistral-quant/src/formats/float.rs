//! Plain numbers: little-endian F32, F16 (IEEE 754 binary16) and BF16 (the upper half of an f32).

use half::{bf16, f16};

use super::Block;
use crate::Format;

/// 4 bytes a weight.
pub(crate) struct F32;

impl Block for F32 {
    const FORMAT: Format = Format::F32;
    const WEIGHTS: usize = 1;
    const BYTES: usize = 4;

    fn decode(block: &[u8], out: &mut [f32]) {
        out[0] = f32::from_le_bytes([block[0], block[1], block[2], block[3]]);
    }

    fn encode(weights: &[f32], block: &mut [u8]) {
        block.copy_from_slice(&weights[0].to_le_bytes());
    }
}

/// 2 bytes a weight, rounded to nearest even.
pub(crate) struct F16;

impl Block for F16 {
    const FORMAT: Format = Format::F16;
    const WEIGHTS: usize = 1;
    const BYTES: usize = 2;

    fn decode(block: &[u8], out: &mut [f32]) {
        out[0] = f16::from_le_bytes([block[0], block[1]]).to_f32();
    }

    fn encode(weights: &[f32], block: &mut [u8]) {
        block.copy_from_slice(&f16::from_f32(weights[0]).to_le_bytes());
    }
}

/// 2 bytes a weight, rounded to nearest even.
pub(crate) struct Bf16;

impl Block for Bf16 {
    const FORMAT: Format = Format::BF16;
    const WEIGHTS: usize = 1;
    const BYTES: usize = 2;

    fn decode(block: &[u8], out: &mut [f32]) {
        out[0] = bf16::from_le_bytes([block[0], block[1]]).to_f32();
    }

    fn encode(weights: &[f32], block: &mut [u8]) {
        block.copy_from_slice(&bf16::from_f32(weights[0]).to_le_bytes());
    }
}
