//! Products in f32: a strip of weight rows times packed activations, nothing rounded before the product.
//!
//! A strip is two vectors of rows high. [`BLOCK`] columns of it at a time are widened and transposed into a panel whose lanes
//! are rows, which stays in the level 1 cache while all tokens pass by; an activation is one broadcast, and there are no horizontal
//! sums. F32, F16 and BF16 are transposed in registers as words of 4 bytes; every other format goes through its decoder.
//!
//! Each output is the sum, block after block, of one chain of fused multiply-adds over the columns of a block. The order
//! depends on nothing but the columns, so that a token gets the same bits alone or beside others: one token is multiplied in the same
//! order with weights that never see a panel.
//!
//! Packed weights ([`pack_columns`]) lie in memory as in a panel, in their own width, and are multiplied straight from there:
//! widening a number for each group of tokens costs less than writing panels.
//!
//! # Rounded activations
//! With [`CpuOptions::bf16_products`](crate::CpuOptions::bf16_products) BF16 weights are multiplied with activations rounded to BF16, two
//! columns at a time: the words of four bytes that the rows of a checkpoint consist of, side by side in panels and packed strips in
//! place of numbers, times words of two activations. AVX512-BF16 has an instruction for that, with twice the products of an
//! f32 multiply-add (255 and 127 billion a second on one core of a Zen 5); other sets take the words apart. An activation written as
//! a sum of two BF16 numbers would lose nothing that matters, and be no faster than f32.

mod columns;
mod direct;
mod panel;
#[cfg(test)]
mod tests;
mod tile;

pub(crate) use self::columns::{number_bytes, order_of, pack_columns, packed_strip_bytes, take_row};
use self::tile::{Number, Pair};

use super::Kernels;
use super::lanes::{FloatLanes, LaneKernel};
use crate::format::Format;

/// Columns of a panel, or words of two: 16 KiB of weights with AVX-512, less with other sets. Also the length of a chain of sums.
pub(crate) const BLOCK: usize = 128;

/// Columns that a decoder is asked for at a time: whole blocks of every format.
const DECODED: usize = 256;

/// The most rows that a strip has on any instruction set.
pub(crate) const MAX_ROWS: usize = 32;

/// The most tokens that a group has on any instruction set.
const MAX_GROUP: usize = 12;

/// Consecutive rows of a weight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DenseStrip<'a> {
    /// The format of the weight.
    pub(crate) format: Format,
    /// Columns of the weight.
    pub(crate) cols: usize,
    /// The bytes of [`Kernels::dense_rows`] rows; as rows, there may be fewer.
    pub(crate) bytes: &'a [u8],
    /// Bytes of one row.
    pub(crate) row_bytes: usize,
    /// What lies side by side.
    pub(crate) order: Order,
}

/// How the numbers of a strip are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Row after row, as checkpoints have them.
    Rows,
    /// Column after column, as [`pack_columns`] leaves them; aligned to numbers.
    Columns,
    /// Two columns after two columns, each row's pair in a word; a last column alone beside zeros.
    Pairs,
}

/// Memory of one worker.
#[derive(Debug, Clone)]
pub(crate) struct Panel {
    /// `[BLOCK, MAX_ROWS]`, aligned by hand: `start` elements are left out.
    values: Vec<f32>,
    start: usize,
    /// Decoded rows `[MAX_ROWS, DECODED]`, for formats that are not words of numbers.
    decoded: Vec<f32>,
}

impl Panel {
    /// Some 16 KiB.
    pub(crate) fn new() -> Self {
        let values = vec![0.0; BLOCK * MAX_ROWS + 16];
        let start = values.as_ptr().align_offset(64).min(16);
        Self { values, start, decoded: Vec::new() }
    }
}

impl Kernels {
    /// Rows of a strip.
    pub(crate) fn dense_rows(&self) -> usize {
        self.run(Rows)
    }

    /// Tokens of a group: how many activations of one column lie side by side in packed activations.
    pub(crate) fn dense_group(&self) -> usize {
        self.run(Group)
    }

    /// `sums[token][row]` of a strip and packed tokens, rows of [`dense_rows`](Self::dense_rows), overwritten. `packed` holds the tokens
    /// as [`pack`] leaves them, where this set rounds activations for the format [`pack_pairs`]. Rows that the strip lacks get the sums
    /// of its last one.
    pub(crate) fn dense_strip(&self, strip: DenseStrip<'_>, packed: &[f32], sums: &mut [f32], panel: &mut Panel) {
        if self.rounds(strip.format) {
            self.run_with_dots(StripTimesTokens::<true> { strip, packed, sums, panel });
        } else {
            self.run(StripTimesTokens::<false> { strip, packed, sums, panel });
        }
    }
}

/// Elements of packed activations that a token of `cols` values takes.
pub(crate) fn packed_width(cols: usize, rounded: bool) -> usize {
    if rounded { cols.div_ceil(2) } else { cols }
}

/// Packs tokens `x` `[tokens, cols]` for [`Kernels::dense_strip`]: whole groups of `group` tokens one after the other and a
/// shorter last one, each `[cols, tokens of the group]`.
pub(crate) fn pack<'a>(
    tokens: impl ExactSizeIterator<Item = &'a [f32]>,
    cols: usize,
    group: usize,
    packed: &mut [f32],
) {
    let count = tokens.len();
    for (token, values) in tokens.enumerate() {
        let first = token - token % group;
        let width = group.min(count - first);
        let Some(packed) = packed.get_mut(first * cols..(first + width) * cols) else { return };
        for (column, &value) in packed.chunks_exact_mut(width).zip(values) {
            column[token - first] = value;
        }
    }
}

/// [`pack`] with values rounded to BF16, two to a word: groups of `[cols / 2, tokens of the group]`. Words are stored as f32 of the same bits,
/// with which nothing is computed.
pub(crate) fn pack_pairs<'a>(
    tokens: impl ExactSizeIterator<Item = &'a [f32]>,
    cols: usize,
    group: usize,
    packed: &mut [f32],
) {
    let (count, width) = (tokens.len(), packed_width(cols, true));
    let round = |value: &f32| rounded_bf16(*value);
    for (token, values) in tokens.enumerate() {
        let first = token - token % group;
        let members = group.min(count - first);
        let Some(packed) = packed.get_mut(first * width..(first + members) * width) else { return };
        for (words, pair) in packed.chunks_exact_mut(members).zip(values.chunks(2)) {
            let high = pair.get(1).map_or(0, round);
            words[token - first] = f32::from_bits(pair.first().map_or(0, round) | high << 16);
        }
    }
}

/// The bits of the nearest bf16, ties to even, without a branch; what is not a number stays one, quietly.
#[inline(always)]
fn rounded_bf16(value: f32) -> u32 {
    let bits = value.to_bits();
    let nearest = bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) >> 16;
    if value.is_nan() { bits >> 16 | 0x40 } else { nearest }
}

/// Tokens of a register tile of two vectors of rows: as many as leave registers for the weights and an activation.
#[inline(always)]
const fn group<L: FloatLanes>() -> usize {
    match L::REGISTERS {
        32 => 12,
        16 => 6,
        _ => 2,
    }
}

struct Rows;

impl LaneKernel for Rows {
    type Output = usize;

    #[inline(always)]
    fn run<L: FloatLanes>(self, _: L) -> usize {
        const { assert!(2 * L::LANES <= MAX_ROWS) };
        2 * L::LANES
    }
}

struct Group;

impl LaneKernel for Group {
    type Output = usize;

    #[inline(always)]
    fn run<L: FloatLanes>(self, _: L) -> usize {
        const { assert!(group::<L>() <= MAX_GROUP) };
        group::<L>()
    }
}

struct StripTimesTokens<'a, const ROUNDED: bool> {
    strip: DenseStrip<'a>,
    packed: &'a [f32],
    sums: &'a mut [f32],
    panel: &'a mut Panel,
}

impl<const ROUNDED: bool> LaneKernel for StripTimesTokens<'_, ROUNDED> {
    type Output = ();

    #[inline(always)]
    fn run<L: FloatLanes>(self, lanes: L) {
        let Self { strip, packed, sums, panel } = self;
        let (width, rows) = (packed_width(strip.cols, ROUNDED), 2 * L::LANES);
        sums.fill(0.0);
        let tokens = sums.len() / rows;
        if packed.len() < tokens * width || strip.bytes.len() < strip.row_bytes || strip.row_bytes == 0 {
            debug_assert!(strip.row_bytes == 0, "{} activations for {tokens} tokens", packed.len());
            return;
        }
        if strip.order != Order::Rows {
            return columns::add::<L, ROUNDED>(lanes, &strip, packed, sums, panel);
        }
        if direct::add::<L, ROUNDED>(lanes, &strip, packed, sums) {
            return;
        }
        for first in (0..width).step_by(BLOCK) {
            let count = BLOCK.min(width - first);
            let block = panel::fill::<L, ROUNDED>(lanes, &strip, first, count, panel);
            if ROUNDED {
                add_groups::<L, Pair, false>(lanes, block, packed, (first, width), sums);
            } else {
                add_groups::<L, f32, false>(lanes, block, packed, (first, width), sums);
            }
        }
    }
}

/// Adds the products of the columns (or pairs of them) from `first`, of `cols`, and all tokens, group after group. `STREAM` says that `weights`
/// `[columns, rows]`, a block of them, come from memory; for groups after the first they are in the cache.
#[inline(always)]
fn add_groups<L: FloatLanes, T: Number, const STREAM: bool>(
    lanes: L,
    weights: &[T::Stored],
    packed: &[f32],
    (first, cols): (usize, usize),
    sums: &mut [f32],
) {
    let (rows, group) = (2 * L::LANES, group::<L>());
    let count = weights.len() / rows;
    for (index, sums) in sums.chunks_mut(group * rows).enumerate() {
        let width = sums.len() / rows;
        let start = index * group * cols + first * width;
        let packed = &packed[start..start + count * width];
        if STREAM && index == 0 {
            tile::add::<L, T, true>(lanes, weights, packed, sums);
        } else {
            tile::add::<L, T, false>(lanes, weights, packed, sums);
        }
    }
}
