//! Activations as the integer kernels read them: i8 codes with a scale for every 32 values, made once for each input row.
//!
//! Codes lie in `-127..=127`, never -128, so that a product with any weight code and the sum of two such products fit in 16 bits.
//! Integer sums of the codes correct for the offsets and mins of the weights; unlike an f16 product of scale and sum they
//! cannot overflow. One form serves every weight format.

use crate::cpu::disjoint::Disjoint;
use crate::cpu::kernels::Kernels;
use crate::cpu::kernels::integer::lanes::{Lanes, Operation, block_width};
use crate::cpu::pool::ThreadPool;
use crate::cpu::storage;
use crate::formats::UNIT;
use crate::{Error, Routes};

/// Values below which quantizing is not worth waking threads for: about 2 us.
const ALONE: usize = 16 * 1024;

/// 32 values: `x[i] ≈ scale * codes[i / 4][i % 4]`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[repr(C)]
pub(crate) struct ActivationUnit {
    /// Four at a time, as kernels broadcast them.
    pub(crate) codes: [[i8; 4]; 8],
    /// A 127th of the largest magnitude; NaN or infinite when a value was.
    pub(crate) scale: f32,
    /// `scale` times the sum of all codes.
    pub(crate) scaled_sum: f32,
    /// The sums of the first and the last 16 codes.
    pub(crate) sums: [i32; 2],
}

impl ActivationUnit {
    /// The unit as 32-bit words, in the order of the fields.
    fn words(&self) -> [u32; WORDS] {
        let mut words = [0; WORDS];
        for (word, codes) in words.iter_mut().zip(self.codes) {
            *word = u32::from_ne_bytes(codes.map(|code| code as u8));
        }
        words[8..].copy_from_slice(&[
            self.scale.to_bits(),
            self.scaled_sum.to_bits(),
            self.sums[0] as u32,
            self.sums[1] as u32,
        ]);
        words
    }
}

/// 32-bit words of a quantized unit: 8 of codes, `scale`, `scaled_sum` and two of `sums`.
pub(crate) const WORDS: usize = 12;

/// Units of a task.
const PIECE: usize = 64;

/// Quantized rows `[tokens, units]`, in blocks of as many columns as the widest tile of the kernels takes.
///
/// A block of `n` columns is unit after unit; in a unit, each of the [`WORDS`] words comes for all columns side by side, so
/// that a kernel reads the block as one stream. The columns that are left at the end are in blocks of [`block_width`].
#[derive(Debug, Default)]
pub(crate) struct Activations {
    words: Vec<u32>,
    units: usize,
    width: usize,
}

impl Activations {
    /// Quantizes `x` `[tokens, cols]`; values after the last whole unit of a row are left out.
    pub(crate) fn quantize(
        &mut self,
        pool: &ThreadPool,
        kernels: &Kernels,
        x: &[f32],
        cols: usize,
    ) -> Result<(), Error> {
        let tokens = x.len().checked_div(cols).unwrap_or(0);
        self.fill(pool, kernels, tokens, cols, &[tokens], &|token| &x[token * cols..(token + 1) * cols])
    }

    /// Quantizes the rows of `x` `[.., cols]` that the routes name, in the order of the routes; a block of columns ends with the
    /// routes of an expert, so that those of each begin a block.
    pub(crate) fn quantize_routes(
        &mut self,
        pool: &ThreadPool,
        kernels: &Kernels,
        x: &[f32],
        cols: usize,
        routes: Routes<'_>,
    ) -> Result<(), Error> {
        self.fill(pool, kernels, routes.rows.len(), cols, routes.ends, &|route| {
            let row = routes.rows[route] as usize;
            &x[row * cols..(row + 1) * cols]
        })
    }

    /// Quantizes rows in blocks of columns that do not cross `ends`.
    fn fill<'x>(
        &mut self,
        pool: &ThreadPool,
        kernels: &Kernels,
        tokens: usize,
        cols: usize,
        ends: &[usize],
        row: &(dyn Fn(usize) -> &'x [f32] + Sync),
    ) -> Result<(), Error> {
        let units = cols / UNIT;
        let width = kernels.columns();
        (self.units, self.width) = (units, width);
        let needed = tokens * units * WORDS;
        if self.words.len() < needed {
            self.words = storage::zeroed("quantized activations", needed)?;
        }
        if units == 0 {
            return Ok(());
        }
        let words = Disjoint::new(&mut self.words[..needed]);
        let mut blocks = Vec::new();
        let mut start = 0;
        for &end in ends {
            while start < end {
                let columns = block_width(end - start, width);
                blocks.push((start, columns));
                start += columns;
            }
        }
        let pieces = units.div_ceil(PIECE);
        let piece = |task: usize| {
            let ((token, columns), first) = (blocks[task / pieces], task % pieces * PIECE);
            let count = PIECE.min(units - first);
            // SAFETY: the blocks lie one after the other, and so do the pieces of a block: each is one task's.
            let words = unsafe { words.slice((token * units + first * columns) * WORDS, columns * count * WORDS) };
            for column in 0..columns {
                let x = &row(token + column)[first * UNIT..(first + count) * UNIT];
                quantize_column(kernels, x, words, column, columns);
            }
        };
        let tasks = blocks.len() * pieces;
        if tokens * cols <= ALONE {
            (0..tasks).for_each(piece);
            return Ok(());
        }
        pool.for_each(tasks, &piece)
    }

    /// Some tokens; `first` is the first of a block.
    pub(crate) fn columns(&self, first: usize, count: usize) -> Columns<'_> {
        let words = self.words.get(first * self.units * WORDS..(first + count) * self.units * WORDS);
        Columns { words: words.unwrap_or_default(), units: self.units, width: self.width }
    }
}

/// Blocks of columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Columns<'a> {
    pub(crate) words: &'a [u32],
    /// Units of a column.
    pub(crate) units: usize,
    /// Columns of a block.
    pub(crate) width: usize,
}

impl Columns<'_> {
    /// Columns of all blocks.
    pub(crate) fn tokens(&self) -> usize {
        self.words.len().checked_div(self.units * WORDS).unwrap_or(0)
    }
}

/// Quantizes consecutive units of one of the `columns` columns that share `words`.
fn quantize_column(kernels: &Kernels, x: &[f32], words: &mut [u32], column: usize, columns: usize) {
    let mut units = [ActivationUnit::default(); 8];
    for (x, words) in x.chunks(8 * UNIT).zip(words.chunks_mut(8 * columns * WORDS)) {
        kernels.quantize(x, &mut units);
        for (unit, words) in units.iter().zip(words.chunks_exact_mut(columns * WORDS)) {
            for (word, codes) in words.iter_mut().skip(column).step_by(columns).zip(unit.words()) {
                *word = codes;
            }
        }
    }
}

/// Quantizes consecutive units of 32 values.
pub(crate) struct Quantize<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) units: &'a mut [ActivationUnit],
}

impl Operation for Quantize<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        quantize_units(self.x, self.units);
    }
}

/// The sums of the first and the last 16. In steps that are additions of whole registers: as two sums they become a tangle of moves.
#[inline(always)]
fn sums_of_halves(codes: &[i32; UNIT]) -> [i32; 2] {
    let (mut eights, mut fours, mut twos) = ([0; 16], [0; 8], [0; 4]);
    for k in 0..16 {
        eights[k] = codes[k / 8 * 16 + k % 8] + codes[k / 8 * 16 + 8 + k % 8];
    }
    for k in 0..8 {
        fours[k] = eights[k / 4 * 8 + k % 4] + eights[k / 4 * 8 + 4 + k % 4];
    }
    for k in 0..4 {
        twos[k] = fours[k / 2 * 4 + k % 2] + fours[k / 2 * 4 + 2 + k % 2];
    }
    [twos[0] + twos[1], twos[2] + twos[3]]
}

/// Quantizes consecutive units. `inline(always)`: each instruction set compiles this body with its own features.
#[inline(always)]
pub(crate) fn quantize_units(x: &[f32], units: &mut [ActivationUnit]) {
    for (x, unit) in x.as_chunks::<UNIT>().0.iter().zip(units) {
        // As integers, magnitudes order like floats and NaN comes out on top, so that it reaches the scale.
        let largest = f32::from_bits(x.iter().fold(0, |max, x| max.max(x.to_bits() & 0x7FFF_FFFF)));
        let scale = largest / 127.0;
        let per_scale = 127.0 / largest;
        let per_scale = if per_scale.is_finite() { per_scale } else { 0.0 };
        // Adding 1.5 * 2^23 leaves the nearest integer, ties to even, in the low bits.
        const ROUND: f32 = 12_582_912.0;
        let mut codes = [0i32; UNIT];
        for (code, &x) in codes.iter_mut().zip(x) {
            let bits = (x * per_scale + ROUND).to_bits() as i32 - ROUND.to_bits() as i32;
            *code = bits.clamp(-127, 127);
        }
        let sums = sums_of_halves(&codes);
        for (out, codes) in unit.codes.iter_mut().zip(codes.as_chunks::<4>().0) {
            *out = [codes[0] as i8, codes[1] as i8, codes[2] as i8, codes[3] as i8];
        }
        unit.scale = scale;
        unit.scaled_sum = scale * (sums[0] + sums[1]) as f32;
        unit.sums = sums;
    }
}
