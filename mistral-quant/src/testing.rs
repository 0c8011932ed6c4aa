//! Seeded operands and exact answers for the tests of kernels: one bank for every instruction set.

use crate::backend::Backend;
use crate::bytes::SharedBytes;
use crate::cpu::kernels::Kernels;
use crate::cpu::kernels::integer::activation::{ActivationUnit, quantize_units};
use crate::cpu::kernels::packed::Packed;
use crate::cpu::pool::ThreadPool;
use crate::cpu::tests::Random;
use crate::error::Error;
use crate::format::Format;
use crate::formats::encode_row_with;
use crate::formats::{Block, Grid, UNIT, blocks, with_grid};
use crate::step::{Run, StepInput};
use crate::weight::Weight;

/// Begins a step.
pub(crate) fn step<B: Backend>(backend: &mut B, input: StepInput<'_>) -> B::Step {
    let mut step = backend.step().unwrap();
    backend.begin(&mut step, &input).unwrap();
    step
}

/// Begins a step of some runs, each with one table.
pub(crate) fn run_step<B: Backend>(backend: &mut B, tokens: usize, runs: &[Run<'_>]) -> B::Step {
    step(backend, StepInput { tokens, runs, ..StepInput::default() })
}

/// Every instruction set of this machine, the portable one included.
pub(crate) fn instruction_sets() -> Vec<Kernels> {
    Kernels::each().collect()
}

/// The same with activations rounded to BF16 for weights in it, and each with the processor's instruction for that and without.
pub(crate) fn rounding_sets() -> Vec<Kernels> {
    let sets = || Kernels::each().map(|kernels| kernels.with_bf16_products(true));
    sets().chain(sets().map(Kernels::without_dots)).collect()
}

/// The formats whose codes are integers.
pub(crate) fn block_formats() -> impl Iterator<Item = Format> {
    Format::all().filter(|&format| with_grid!(format, _Block => true, _ => false))
}

/// How the bytes of a weight come about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bytes {
    /// Encoded from roughly normal weights.
    Encoded,
    /// Random codes, sub-scales and mins under modest scales.
    Random,
    /// The same byte everywhere, under modest scales.
    Constant(u8),
    /// Anything, scales that are NaN or infinite included.
    Wild,
}

/// A matrix of bytes of some kind.
pub(crate) fn weight(random: &mut Random, format: Format, rows: usize, cols: usize, kind: Bytes) -> Weight {
    let len = format.byte_len(cols).unwrap() * rows;
    let mut bytes: Vec<u8> = match kind {
        Bytes::Encoded => {
            let x = random.values(rows * cols);
            encode_row_with(format, &x, Some(&vec![1.0; x.len()])).unwrap()
        }
        Bytes::Constant(byte) => vec![byte; len],
        Bytes::Random | Bytes::Wild => (0..len).map(|_| random.next() as u8).collect(),
    };
    if matches!(kind, Bytes::Random | Bytes::Constant(_)) {
        for block in bytes.chunks_exact_mut(format.block_bytes()) {
            set_scales(format, block, || 0.01 * random.value());
        }
    }
    Weight::new(format, rows, cols, SharedBytes::new(bytes)).unwrap()
}

/// All of a weight in its packed form, made in bands of a strip.
pub(crate) fn packed(kernels: &Kernels, pool: &ThreadPool, weight: &Weight) -> Result<Packed, Error> {
    let packed = Packed::with_bands(kernels, weight, 1)?;
    packed.fill(kernels, pool, weight)?;
    Ok(packed)
}

/// Puts the next of some values into each scale of a block that multiplies all its weights; rounded to what the format can hold.
pub(crate) fn set_scales(format: Format, block: &mut [u8], mut next: impl FnMut() -> f32) {
    let places: &[usize] = match format {
        Format::Q8_0 | Format::Q8_1 | Format::Q4_0 | Format::Q5_0 | Format::Q1_0 | Format::Q2_0 => &[0],
        Format::IQ4_NL | Format::IQ4_XS => &[0],
        Format::IQ2_XXS | Format::IQ2_XS | Format::IQ2_S | Format::IQ3_XXS | Format::IQ3_S | Format::IQ1_S => &[0],
        Format::Q4_1 | Format::Q5_1 | Format::Q4_K | Format::Q5_K | Format::Affine4 => &[0, 2],
        Format::Q2_K => &[80, 82],
        Format::Q3_K => &[108],
        Format::Q6_K => &[208],
        Format::TQ1_0 => &[52],
        Format::TQ2_0 => &[64],
        Format::Affine8 => {
            return block[..8].as_chunks_mut::<4>().0.iter_mut().for_each(|to| *to = next().to_le_bytes());
        }
        Format::Q8_K => return block[..4].copy_from_slice(&next().to_le_bytes()),
        // A nibble of the f16 in the upper bits of each of four words.
        Format::IQ1_M => {
            let d = half::f16::from_f32(next()).to_bits();
            return (0..4).for_each(|w| block[49 + 2 * w] = block[49 + 2 * w] & 15 | ((d >> (4 * w) & 15) << 4) as u8);
        }
        // The exponents of E8M0 and UE4M3; 2^0 is 127 and 7, and the tables hold doubled values.
        Format::MXFP4 => return block[0] = (128.0 + next().abs().log2().floor()) as u8,
        Format::NVFP4 => {
            return block[..4].fill_with(|| ((8.0 + next().abs().log2().floor()).clamp(0.0, 15.0) as u8) << 3);
        }
        _ => unreachable!("{format} has no scales"),
    };
    for &at in places {
        block[at..at + 2].copy_from_slice(&half::f16::from_f32(next()).to_le_bytes());
    }
}

/// Rows of values as units; `x` is `[tokens, cols]`.
pub(crate) fn quantized(x: &[f32]) -> Vec<ActivationUnit> {
    let mut units = vec![ActivationUnit::default(); x.len() / UNIT];
    quantize_units(x, &mut units);
    units
}

/// `Σ w a` of a row and a quantized token in f64, and the sum of the magnitudes of all products, mins apart.
pub(crate) fn exact_dot(weight: &Weight, row: usize, token: &[ActivationUnit]) -> (f64, f64) {
    let bytes = &weight.bytes()[row * weight.row_bytes()..(row + 1) * weight.row_bytes()];
    with_grid!(weight.format(), B => exact_dot_of::<B>(blocks(bytes), token), _ => unreachable!())
}

fn exact_dot_of<B: Grid>(row: &[B], token: &[ActivationUnit]) -> (f64, f64) {
    let (mut sum, mut size) = (0.0, 0.0);
    let per_block = <B as Block>::WEIGHTS / UNIT;
    for (u, unit) in token.iter().enumerate() {
        let weights = row[u / per_block].unit(u % per_block);
        for (i, &code) in unit.codes.as_flattened().iter().enumerate() {
            let activation = f64::from(unit.scale) * f64::from(code);
            let scaled =
                f64::from(weights.scales[i / 16]) * f64::from(i32::from(weights.codes[i]) - i32::from(B::OFFSET));
            let min = f64::from(weights.mins[i / 16]);
            sum += activation * (scaled - min);
            size += activation.abs() * (scaled.abs() + min.abs());
        }
    }
    (sum, size)
}
