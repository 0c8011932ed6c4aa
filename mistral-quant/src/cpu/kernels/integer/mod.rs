//! The integer matrix kernels: 16 weight rows times columns of 8-bit activations.
//!
//! There is one kernel for all instruction sets and formats. Its operand is a *group*: 16 rows of up to 256 columns, packed so that
//! the lanes of a register are rows: no horizontal sums, and four activations are one broadcast. A group keeps the codes of
//! the blocks bit by bit and their scales byte by byte ([`pack`]). It comes out of persistent [`Packed`](super::packed::Packed)
//! weights, one sequential stream for a worker, or is packed from the blocks of the checkpoint on the way. Few columns are
//! multiplied with codes that are taken out of their bits in registers; for many the codes are taken out once, to a panel.
//!
//! Compiling is kept short on purpose: tiles are instances for a class of codes, a grouping of scales and a width, not for
//! formats, whose offsets come at run time; and an instruction set that adds up in 32 bits needs fewer classes ([`Lanes::Many`]).
//!
//! Each output is `Σ_unit f32(isum) * (scale * activation_scale) - min * activation_sum` with the exact integer
//! `isum = Σ (code - offset) * activation_code`, unit after unit (half after half where scales are for 16 columns). The
//! order depends on nothing but the columns: a token gets the same bits alone or beside others, packed or not.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
mod books;
mod codes;
pub(crate) mod lanes;
#[cfg(target_arch = "aarch64")]
pub(super) mod neon;
pub(crate) mod pack;
pub(super) mod portable;
mod row;
mod tile;
mod trits;

use std::marker::PhantomData;

pub(crate) use self::books::vbmi::Vbmi;
use self::codes::{Codes, Expanded};
use self::lanes::{Lanes, Operation, block_width, prefetch, unroll};
pub(crate) use self::pack::{Layout, Pack};
use self::pack::{PackGroup, Panel, ReadScales, Vector};
use self::row::take_row_of;
use self::tile::{Block, Grouping, Halves, HalvesWithMins, Scales, UNITS, Units, UnitsWithMins};
use crate::cpu::activations::{Columns, WORDS};
use crate::cpu::kernels::strip::{STRIP, Strip, Sums};
use crate::formats::{Grid, UNIT, with_grid};

/// Columns up to which codes are taken out of their bits anew for each block of columns.
const FEW: usize = 4;

/// How far ahead of the arithmetic packed groups are asked for, in bytes: what a core reads while it waits for memory.
const AHEAD: usize = 8 * 1024;

/// The bytes of 16 rows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StripSource<'a> {
    /// Blocks of a checkpoint.
    Blocks(Strip<'a>),
    /// A packed strip; [`Strip::bytes`] are its groups.
    Packed(Strip<'a>),
}

impl<'a> StripSource<'a> {
    fn strip(self) -> Strip<'a> {
        let (Self::Blocks(strip) | Self::Packed(strip)) = self;
        strip
    }
}

/// Memory that a worker reuses from strip to strip.
#[repr(C, align(64))]
pub(crate) struct Workspace {
    /// A packed group.
    packed: [Vector; 8 * UNITS + 4],
    /// Codes of a group, 8 bits each.
    codes: Panel,
    scales: Scales,
}

impl Workspace {
    pub(crate) const ZERO: Self =
        Self { packed: [[0; 64]; 8 * UNITS + 4], codes: [[0; 64]; 8 * UNITS], scales: Scales::ZERO };
}

/// Names the block type of a format with a packed form and evaluates an expression with it.
macro_rules! with_pack {
    ($format:expr, $block:ident => $body:expr, _ => $other:expr) => {
        $crate::cpu::kernels::integer::with_pack!(
            $format, $block => $body, _ => $other,
            [Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS TQ2_0 MXFP4 NVFP4
                IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ2_S IQ3_XXS IQ3_S TQ1_0]
        )
    };
    ($format:expr, $block:ident => $body:expr, _ => $other:expr, [$($name:ident)*]) => {
        match $format {
            $($crate::Format::$name => { type $block = $crate::formats::$name; $body })*
            _ => $other,
        }
    };
}
pub(crate) use with_pack;

/// See [`crate::cpu::kernels::Kernels::integer_strip`].
///
/// # Safety
/// The processor has the instruction set.
pub(super) unsafe fn integer_strip<L: Lanes>(
    source: StripSource<'_>,
    columns: Columns<'_>,
    vbmi: Option<Vbmi>,
    workspace: &mut Workspace,
    sums: &mut [Sums],
) {
    sums.fill(Sums::default());
    let strip = source.strip();
    let fits = columns.width == L::COLUMNS && columns.units == strip.cols / UNIT && columns.tokens() == sums.len();
    if !fits || strip.bytes.is_empty() {
        debug_assert!(sums.is_empty() || columns.units == 0 || strip.bytes.is_empty(), "{columns:?}");
        return;
    }
    // SAFETY: by the caller.
    unsafe {
        with_pack!(strip.format, B => {
            packed_product::<L, B>(source, columns, vbmi, workspace, sums);
        }, _ => with_grid!(strip.format, B => {
            plain_product::<L, B>(strip, columns, workspace, sums);
        }, _ => ()));
    }
}

/// Packs the 16 rows of `strip` into `packed`, which has the length of [`Layout::strip`].
///
/// # Safety
/// The processor has the instruction set.
pub(super) unsafe fn pack_strip<L: Lanes>(strip: Strip<'_>, packed: &mut [u8]) {
    with_pack!(strip.format, B => {
        // SAFETY: by the caller.
        unsafe { pack_strip_of::<L::Moves, B>(strip, packed) }
    }, _ => ());
}

/// Decodes one row of a packed strip.
///
/// # Safety
/// The processor has the instruction set.
pub(super) unsafe fn take_row<L: Lanes>(strip: Strip<'_>, row: usize, out: &mut [f32]) {
    with_pack!(strip.format, B => {
        // SAFETY: by the caller.
        unsafe { take_row_of::<L::Moves, B>(strip, row, out) }
    }, _ => ());
}

/// Packs a strip, group by group.
///
/// # Safety
/// The processor has the instruction set.
unsafe fn pack_strip_of<L: Lanes, B: Pack>(strip: Strip<'_>, packed: &mut [u8]) {
    let units = strip.cols / UNIT;
    let rows = strip.blocks::<B>();
    for (index, group) in packed.chunks_mut(const { Layout::of::<B>() }.group(UNITS)).enumerate() {
        let first = index * UNITS;
        // SAFETY: by the caller.
        unsafe { L::enter(PackGroup { rows: &rows, first, units: UNITS.min(units.saturating_sub(first)), group }) };
    }
}

/// Whether a class of codes has room for a format's, and the format's grouping says what its [`Grid`] says.
const fn fits<B: Pack, C: Codes>() -> bool {
    let higher = B::STORED_OFFSET - B::OFFSET as i32;
    let grouping = B::Grouping::HALVES == B::HALVES && B::Grouping::MINS == B::MINS;
    grouping && higher >= 0 && C::MAX_CODE - higher >= B::MAX_CODE
}

/// A strip in a format with a packed form.
///
/// # Safety
/// The processor has the instruction set.
unsafe fn packed_product<L: Lanes, B: Pack>(
    source: StripSource<'_>,
    columns: Columns<'_>,
    vbmi: Option<Vbmi>,
    workspace: &mut Workspace,
    sums: &mut [Sums],
) {
    const { assert!(fits::<B, B::Codes>() && fits::<B, B::Expanded>()) };
    let layout = const { Layout::of::<B>() };
    let strip = source.strip();
    let rows = match source {
        StripSource::Blocks(strip) => strip.blocks::<B>(),
        StripSource::Packed(_) => [&[][..]; STRIP],
    };
    let Workspace { packed, codes: panel, scales } = workspace;
    let mut rest = strip.bytes;
    let units = strip.cols / UNIT;
    for first in (0..units).step_by(UNITS) {
        let count = UNITS.min(units - first);
        let group = match source {
            StripSource::Blocks(_) => {
                let Some(group) = packed.as_flattened_mut().get_mut(..layout.group(count)) else { return };
                prefetch_rows(&rows, first, count, STRIP * strip.row_bytes);
                // SAFETY: by the caller.
                unsafe { L::Moves::enter(PackGroup { rows: &rows, first, units: count, group: &mut *group }) };
                &*group
            }
            StripSource::Packed(_) => {
                let Some((group, behind)) = rest.split_at_checked(layout.group(count)) else { return };
                rest = behind;
                // Codes of 8 bits are multiplied where they lie if there are many columns.
                let bytes = if B::UNIT_BYTES == 512 && sums.len() > FEW { group.len() } else { layout.codes_at(count) };
                prefetch_line_by_line(group, bytes);
                group
            }
        };
        let Some((header, codes)) = group.split_at_checked(layout.codes_at(count)) else { return };
        // SAFETY: by the caller; `codes` are `count` units, and as many are expanded.
        unsafe {
            L::enter(ReadScales { header, units: count, scales: &mut *scales, block: PhantomData::<B> });
            let group = Group { scales, offset: offset::<L, B>(), first, units: count };
            if sums.len() <= FEW && L::DIRECT && B::DIRECT {
                multiply::<L, L::Few<B::Codes>, B::Grouping, false>(codes, group, columns, sums);
            } else if B::UNIT_BYTES == 512 && L::BIASED {
                // Signed codes are stored as such a set wants them.
                multiply::<L, L::Many<B::Expanded>, B::Grouping, true>(codes, group, columns, sums);
            } else {
                B::expand::<L>(header, codes, count, panel, vbmi);
                multiply::<L, L::Many<B::Expanded>, B::Grouping, true>(panel.as_flattened(), group, columns, sums);
            }
        }
    }
}

/// What the codes of a format are higher by than their values, as the registers of an instruction set take them.
const fn offset<L: Lanes, B: Pack>() -> i32 {
    match B::Expanded::MAX_CODE {
        128 if L::BIASED => 128,
        _ => B::STORED_OFFSET,
    }
}

/// Asks for the first `bytes` of a group that lies [`AHEAD`] of this one; its codes are asked for unit by unit.
#[inline(always)]
fn prefetch_line_by_line(group: &[u8], bytes: usize) {
    let ahead = group.as_ptr().wrapping_add(AHEAD);
    (0..bytes).step_by(64).for_each(|line| prefetch(ahead.wrapping_add(line)));
}

/// Asks for units `first..first + count` of the rows `distance` bytes further on. Sixteen short streams that start anew in every
/// strip are too much for the prefetcher of the processor.
#[inline(never)]
fn prefetch_rows<B: Grid>(rows: &[&[B]; STRIP], first: usize, count: usize, distance: usize) {
    let (start, bytes) =
        (first * UNIT / B::WEIGHTS * size_of::<B>(), (count * UNIT).div_ceil(B::WEIGHTS) * size_of::<B>());
    for row in rows {
        let start = row.as_ptr().cast::<u8>().wrapping_add(start + distance);
        (0..bytes).step_by(64).for_each(|line| prefetch(start.wrapping_add(line)));
    }
}

/// Codes of any format, less its offset.
type Any = Expanded<128>;

/// Codes of a format that reach no further than 16 below its offset and 15 above it.
type Small = Expanded<31>;

/// A strip in a format that is not packed: codes come one by one from [`Grid::unit`].
///
/// # Safety
/// The processor has the instruction set.
unsafe fn plain_product<L: Lanes, B: Grid>(
    strip: Strip<'_>,
    columns: Columns<'_>,
    workspace: &mut Workspace,
    sums: &mut [Sums],
) {
    let rows = strip.blocks::<B>();
    let units = strip.cols / UNIT;
    let Workspace { codes, scales, .. } = workspace;
    for first in (0..units).step_by(UNITS) {
        let count = UNITS.min(units - first);
        prefetch_rows(&rows, first, count, STRIP * strip.row_bytes);
        for (row, blocks) in rows.iter().enumerate() {
            fill_row(blocks, L::BIASED, row, first, count, codes, scales);
        }
        let codes = codes.as_flattened();
        let offset = match (const { is_small::<B>() }, L::BIASED) {
            (true, _) => 16,
            (false, true) => 128,
            (false, false) => 0,
        };
        let group = Group { scales, offset, first, units: count };
        // SAFETY: by the caller; `codes` has room for all units of a group.
        unsafe {
            match (B::HALVES, B::MINS) {
                (false, false) => multiply_plain::<L, Units>(codes, is_small::<B>(), group, columns, sums),
                (false, true) => multiply_plain::<L, UnitsWithMins>(codes, is_small::<B>(), group, columns, sums),
                (true, false) => multiply_plain::<L, Halves>(codes, is_small::<B>(), group, columns, sums),
                (true, true) => multiply_plain::<L, HalvesWithMins>(codes, is_small::<B>(), group, columns, sums),
            }
        }
    }
}

/// [`multiply`] with codes of eight bits.
///
/// # Safety
/// As there.
unsafe fn multiply_plain<L: Lanes, G: Grouping>(
    codes: &[u8],
    small: bool,
    group: Group<'_>,
    columns: Columns<'_>,
    sums: &mut [Sums],
) {
    // SAFETY: by the caller.
    unsafe {
        match small {
            true => multiply::<L, L::Many<Small>, G, true>(codes, group, columns, sums),
            false => multiply::<L, L::Many<Any>, G, true>(codes, group, columns, sums),
        }
    }
}

/// Whether the codes of a format fit into five bits around its offset, so that several products fit into 16 bits.
const fn is_small<B: Grid>() -> bool {
    B::MAX_CODE != 128 && B::OFFSET <= 16 && B::MAX_CODE - B::OFFSET as i32 <= 15
}

/// Takes the units of one row apart into a panel.
#[inline(never)]
fn fill_row<B: Grid>(
    blocks: &[B],
    biased: bool,
    row: usize,
    first: usize,
    count: usize,
    codes: &mut Panel,
    scales: &mut Scales,
) {
    let per_block = B::WEIGHTS / UNIT;
    let base = match (const { is_small::<B>() }, biased) {
        (true, _) => 16,
        (false, true) => i8::MIN,
        (false, false) => 0,
    };
    let base = base.wrapping_sub(B::OFFSET);
    for u in 0..count {
        let Some(block) = blocks.get((first + u) / per_block) else { return };
        let unit = block.unit((first + u) % per_block);
        for (vector, codes) in codes[8 * u..].iter_mut().zip(unit.codes.as_chunks::<4>().0) {
            vector[4 * row..4 * row + 4].copy_from_slice(&codes.map(|code| code.wrapping_add(base) as u8));
        }
        for half in 0..2 {
            scales.scales[u][half][row] = unit.scales[half];
            scales.mins[u][half][row] = unit.mins[half];
        }
    }
}

/// Takes the codes of `units` units out of their bits.
struct Expand<'a, C> {
    /// `units` units of `C::UNIT_BYTES`.
    packed: &'a [u8],
    units: usize,
    panel: &'a mut Panel,
    class: PhantomData<C>,
}

impl<C: Codes> Operation for Expand<'_, C> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        debug_assert!(self.packed.len() >= self.units * C::UNIT_BYTES && self.units <= UNITS);
        let panel = self.panel.as_mut_ptr().cast::<u8>();
        for u in 0..self.units.min(UNITS) {
            let ahead = self.packed.as_ptr().wrapping_add(u * C::UNIT_BYTES + AHEAD);
            (0..C::UNIT_BYTES).step_by(64).for_each(|line| prefetch(ahead.wrapping_add(line)));
            for part in 0..STRIP / L::ROWS {
                // SAFETY: 8 vectors a unit in both.
                unsafe {
                    let unit = self.packed.as_ptr().add(u * C::UNIT_BYTES + 4 * L::ROWS * part);
                    let to = panel.add(512 * u + 4 * L::ROWS * part);
                    unroll!(G in [0 1 2 3 4 5 6 7] { L::store(to.add(64 * G), C::vector::<L>(unit, G)) });
                }
            }
        }
    }
}

/// A group of units whose codes are multiplied.
#[derive(Clone, Copy)]
pub(crate) struct Group<'a> {
    scales: &'a Scales,
    /// Subtracted from every code.
    offset: i32,
    /// The first unit, of those of a row.
    first: usize,
    /// At most [`UNITS`].
    units: usize,
}

/// Adds the products of a group with all columns to the sums. `MANY` says whether there may be more than [`FEW`] columns.
///
/// # Safety
/// The processor has the instruction set; `codes` has `group.units` units, and `columns` has units
/// `group.first..group.first + group.units`.
#[inline(never)]
unsafe fn multiply<L: Lanes, C: Codes, G: Grouping, const MANY: bool>(
    codes: &[u8],
    group: Group<'_>,
    columns: Columns<'_>,
    sums: &mut [Sums],
) {
    let Group { scales, offset, first, units } = group;
    debug_assert!(codes.len() >= units * C::UNIT_BYTES && units <= UNITS && first + units <= columns.units);
    let mut words = columns.words;
    let mut rest = sums;
    while !rest.is_empty() {
        let width = block_width(rest.len(), L::COLUMNS);
        let Some((block, behind)) = words.split_at_checked(WORDS * width * columns.units) else { return };
        let (sums, others) = rest.split_at_mut(width);
        (words, rest) = (behind, others);
        let block = Block {
            codes: codes.as_ptr(),
            scales,
            offset,
            units,
            columns: block.as_ptr().wrapping_add(WORDS * width * first),
            sums,
        };
        // SAFETY: by the caller.
        unsafe {
            match width {
                1 => block.run::<L, C, G, 1>(),
                2 => block.run::<L, C, G, 2>(),
                4 => block.run::<L, C, G, 4>(),
                _ if MANY => L::wide::<C, G>(block),
                _ => (),
            }
        }
    }
}
