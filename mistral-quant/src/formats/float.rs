//! F32, F16 and BF16: plain numbers, little-endian, one a block.
//!
//! ```text
//! F32   0..4  IEEE 754 binary32
//! F16   0..2  IEEE 754 binary16
//! BF16  0..2  the upper half of a binary32
//! ```

use half::{bf16, f16};

use super::Block;
use crate::format::Format;

/// A binary32.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct F32([u8; 4]);

/// A binary16. Encoding rounds to nearest even.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct F16([u8; 2]);

/// The upper half of a binary32. Encoding rounds to nearest even.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct BF16([u8; 2]);

macro_rules! number {
    ($block:ident, $decode:expr, $encode:expr) => {
        // SAFETY: one byte array.
        unsafe impl Block for $block {
            const FORMAT: Format = Format::$block;
            const WEIGHTS: usize = 1;

            fn decode(&self, out: &mut [f32]) {
                if let Some(out) = out.first_mut() {
                    *out = $decode(self.0);
                }
            }

            fn encode(weights: &[f32], _: Option<&[f32]>) -> Self {
                $block($encode(weights.first().copied().unwrap_or(0.0)))
            }
        }
    };
}

number!(F32, f32::from_le_bytes, f32::to_le_bytes);
number!(F16, |b| f16::from_le_bytes(b).to_f32(), |w| f16::from_f32(w).to_le_bytes());
number!(BF16, |b| bf16::from_le_bytes(b).to_f32(), |w| bf16::from_f32(w).to_le_bytes());
