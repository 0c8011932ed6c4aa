//! The integer matrix kernels: 16 weight rows times columns of 8-bit activations.
//!
//! There is one kernel for all instruction sets and formats. Its operand is a *group*: 16 rows of up to 256 columns, packed so that
//! the lanes of a register are rows: no horizontal sums, and four activations are one broadcast. A group keeps the codes of
//! the blocks bit by bit and their scales byte by byte ([`pack`]). It comes out of persistent [`Packed`](super::packed::Packed)
//! weights, one sequential stream for a worker, or is packed from the blocks of the checkpoint on the way. Few columns are
//! multiplied with codes that are taken out of their bits in registers; for many the codes are taken out once, to a panel,
//! and so are for any number of columns the points of code books ([`books`]).
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
use self::tile::{Block, Everything, Grouping, Halves, PAIR_COLUMNS, Pair, Scales, UNITS, Units};
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

/// Strips that are multiplied together at most.
pub(crate) const TOGETHER: usize = 2;

/// Memory that a worker reuses from strip to strip.
pub(crate) struct Workspace {
    strips: [StripSpace; TOGETHER],
}

impl Workspace {
    pub(crate) const ZERO: Self = Self { strips: [StripSpace::ZERO; TOGETHER] };
}

/// The group of a strip that is being multiplied.
#[repr(C, align(64))]
struct StripSpace {
    /// A packed group.
    packed: [Vector; 8 * UNITS + 4],
    /// Codes of a group, 8 bits each.
    codes: Panel,
    scales: Scales,
}

impl StripSpace {
    const ZERO: Self = Self { packed: [[0; 64]; 8 * UNITS + 4], codes: [[0; 64]; 8 * UNITS], scales: Scales::ZERO };
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

/// See [`crate::cpu::kernels::Kernels::integer_strips`].
///
/// # Safety
/// The processor has the instruction set.
pub(super) unsafe fn integer_strips<L: Lanes>(
    sources: &[StripSource<'_>],
    columns: Columns<'_>,
    vbmi: Option<Vbmi>,
    workspace: &mut Workspace,
    sums: &mut [Sums],
) {
    sums.fill(Sums::default());
    let tokens = columns.tokens();
    let fits = |strip: Strip<'_>| columns.units == strip.cols / UNIT && !strip.bytes.is_empty();
    let all = columns.width == L::COLUMNS && sources.iter().all(|source| fits(source.strip()));
    if !all || tokens == 0 || sums.len() != tokens * sources.len() {
        debug_assert!(sums.is_empty() || columns.units == 0 || sources.is_empty(), "{columns:?}");
        return;
    }
    // SAFETY: by the caller.
    unsafe {
        if let &[low, high] = sources
            && strips_together::<L>(tokens) == TOGETHER
            && low.strip().format == high.strip().format
        {
            let handled = with_pack!(low.strip().format, B => {
                pair_product::<L, B>([low, high], columns, vbmi, workspace, sums);
                true
            }, _ => false);
            if handled {
                return;
            }
        }
        for (source, sums) in sources.iter().zip(sums.chunks_mut(tokens)) {
            with_pack!(source.strip().format, B => {
                packed_product::<L, B>(*source, columns, vbmi, &mut workspace.strips[0], sums);
            }, _ => with_grid!(source.strip().format, B => {
                plain_product::<L, B>(source.strip(), columns, &mut workspace.strips[0], sums);
            }, _ => ()));
        }
    }
}

/// How many strips are best multiplied together with so many columns.
pub(super) fn strips_together<L: Lanes>(tokens: usize) -> usize {
    if L::PAIRS && tokens >= PAIR_COLUMNS { TOGETHER } else { 1 }
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
    grouping && (B::Grouping::OFFSET || B::STORED_OFFSET == 0) && higher >= 0 && C::MAX_CODE - higher >= B::MAX_CODE
}

/// A strip in a format with a packed form.
///
/// # Safety
/// The processor has the instruction set.
unsafe fn packed_product<L: Lanes, B: Pack>(
    source: StripSource<'_>,
    columns: Columns<'_>,
    vbmi: Option<Vbmi>,
    space: &mut StripSpace,
    sums: &mut [Sums],
) {
    const { assert!(fits::<B, B::Codes>() && fits::<B, B::Expanded>()) };
    let mut groups = Groups::<B>::new(source);
    for first in (0..columns.units).step_by(UNITS) {
        let units = UNITS.min(columns.units - first);
        // SAFETY: by the caller; `codes` are `units` units, packed or expanded.
        unsafe {
            if sums.len() <= FEW && L::DIRECT && B::DIRECT {
                // The tile asks for codes, unit by unit.
                let bytes = const { Layout::of::<B>() }.codes_at(units);
                let Some((header, codes)) = groups.next::<L>(first, units, &mut space.packed, bytes) else { return };
                L::enter(ReadScales { header, units, scales: &mut space.scales, block: PhantomData::<B> });
                let group = Group { scales: &space.scales, offset: offset::<L, B>(), first, units, ahead: true };
                multiply::<L, L::Few<B::Codes>, B::Grouping, false>(codes, group, columns, sums);
            } else {
                let bytes = const { Layout::of::<B>() }.group(units);
                let Some((codes, scales)) = groups.expand::<L>(first, units, vbmi, space, bytes) else { return };
                let group = Group { scales, offset: offset::<L, B>(), first, units, ahead: false };
                multiply::<L, L::Many<B::Expanded>, B::Grouping, true>(codes, group, columns, sums);
            }
        }
    }
}

/// Two strips in a format with a packed form.
///
/// # Safety
/// The processor has the instruction set, one with [`Lanes::PAIRS`].
unsafe fn pair_product<L: Lanes, B: Pack>(
    sources: [StripSource<'_>; TOGETHER],
    columns: Columns<'_>,
    vbmi: Option<Vbmi>,
    workspace: &mut Workspace,
    sums: &mut [Sums],
) {
    let [mut low, mut high] = sources.map(Groups::<B>::new);
    let [low_space, high_space] = &mut workspace.strips;
    for first in (0..columns.units).step_by(UNITS) {
        let units = UNITS.min(columns.units - first);
        // SAFETY: by the caller; the codes of both are `units` units, packed or expanded.
        unsafe {
            let Some((low_codes, low_scales)) = low.expand::<L>(first, units, vbmi, low_space, 0) else { return };
            let Some((high_codes, high_scales)) = high.expand::<L>(first, units, vbmi, high_space, 0) else { return };
            let group = Group { scales: low_scales, offset: offset::<L, B>(), first, units, ahead: false };
            let strips = [(low_codes, group), (high_codes, Group { scales: high_scales, ..group })];
            let next = [low.next_or(&high, 0), high.next_or(&high, low.bytes)];
            let bytes = if low.bytes == 0 { 0 } else { const { Layout::of::<B>() }.group(units) };
            multiply_pair::<L, L::Many<B::Expanded>, B::Grouping>(strips, columns, sums, next, bytes);
        }
    }
}

/// The groups of a strip, in order.
struct Groups<'a, B> {
    source: StripSource<'a>,
    /// The rows, where they are blocks.
    rows: [&'a [B]; STRIP],
    /// The groups to come, where they are packed.
    rest: &'a [u8],
    /// Bytes of all groups, where they are packed.
    bytes: usize,
}

impl<'a, B: Pack> Groups<'a, B> {
    fn new(source: StripSource<'a>) -> Self {
        let (rows, rest) = match source {
            StripSource::Blocks(strip) => (strip.blocks::<B>(), &[][..]),
            StripSource::Packed(strip) => ([&[][..]; STRIP], strip.bytes),
        };
        Self { source, rows, rest, bytes: rest.len() }
    }

    /// The next group, and after the last one what is `distance` bytes behind the end of `last`.
    fn next_or(&self, last: &Self, distance: usize) -> *const u8 {
        if self.rest.is_empty() { last.rest.as_ptr_range().end.wrapping_add(distance) } else { self.rest.as_ptr() }
    }

    /// Header and codes of the next group, which has units `first..first + units`; blocks are packed into `packed`, and of packed
    /// groups `bytes` from [`AHEAD`] on are asked for. `None` if there is none, which cannot be.
    ///
    /// # Safety
    /// The processor has the instruction set.
    #[inline(always)]
    unsafe fn next<'g, L: Lanes>(
        &mut self,
        first: usize,
        units: usize,
        packed: &'g mut [Vector],
        bytes: usize,
    ) -> Option<(&'g [u8], &'g [u8])>
    where
        'a: 'g,
    {
        let layout = const { Layout::of::<B>() };
        let group = match self.source {
            StripSource::Blocks(strip) => {
                let group = packed.as_flattened_mut().get_mut(..layout.group(units))?;
                prefetch_rows(&self.rows, first, units, STRIP * strip.row_bytes);
                // SAFETY: by the caller.
                unsafe { L::Moves::enter(PackGroup { rows: &self.rows, first, units, group: &mut *group }) };
                &*group
            }
            StripSource::Packed(_) => {
                let (group, behind) = self.rest.split_at_checked(layout.group(units))?;
                self.rest = behind;
                let ahead = group.as_ptr().wrapping_add(AHEAD);
                (0..bytes).step_by(64).for_each(|line| prefetch(ahead.wrapping_add(line)));
                group
            }
        };
        group.split_at_checked(layout.codes_at(units))
    }

    /// The next group's codes of class [`Lanes::Many`] of [`Pack::Expanded`], and its scales.
    ///
    /// # Safety
    /// As for `next`.
    #[inline(always)]
    unsafe fn expand<'g, L: Lanes>(
        &mut self,
        first: usize,
        units: usize,
        vbmi: Option<Vbmi>,
        space: &'g mut StripSpace,
        bytes: usize,
    ) -> Option<(&'g [u8], &'g Scales)>
    where
        'a: 'g,
    {
        let StripSpace { packed, codes: panel, scales } = space;
        // SAFETY: by the caller; as many units are expanded as there are.
        unsafe {
            let (header, codes) = self.next::<L>(first, units, packed, bytes)?;
            L::enter(ReadScales { header, units, scales: &mut *scales, block: PhantomData::<B> });
            if B::UNIT_BYTES == 512 && L::BIASED {
                // Signed codes are stored as such a set wants them.
                return Some((codes, scales));
            }
            B::expand::<L>(header, codes, units, panel, vbmi);
        }
        Some((panel.as_flattened(), scales))
    }
}

/// What the codes of a format are higher by than their values, as the registers of an instruction set take them.
const fn offset<L: Lanes, B: Pack>() -> i32 {
    match B::Expanded::MAX_CODE {
        128 if L::BIASED => 128,
        _ => B::STORED_OFFSET,
    }
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
    space: &mut StripSpace,
    sums: &mut [Sums],
) {
    let rows = strip.blocks::<B>();
    let units = strip.cols / UNIT;
    let StripSpace { codes, scales, .. } = space;
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
        let group = Group { scales, offset, first, units: count, ahead: false };
        // SAFETY: by the caller; `codes` has room for all units of a group.
        unsafe {
            match (B::HALVES, B::MINS) {
                (false, false) => multiply_plain::<L, Units>(codes, is_small::<B>(), group, columns, sums),
                (true, false) => multiply_plain::<L, Halves>(codes, is_small::<B>(), group, columns, sums),
                (_, true) => multiply_plain::<L, Everything>(codes, is_small::<B>(), group, columns, sums),
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
    /// Whether the codes lie in the memory of a packed weight, to be asked for ahead.
    ahead: bool,
}

/// Adds the products of a group with all columns to the sums. `MANY` says whether there may be more than [`FEW`] columns.
///
/// # Safety
/// The processor has the instruction set; `codes` has `group.units` units, and `columns` has units
/// `group.first..group.first + group.units`.
#[inline(never)]
unsafe fn multiply<L: Lanes, C: Codes, G: Grouping, const MANY: bool>(
    codes: &[u8],
    mut group: Group<'_>,
    columns: Columns<'_>,
    sums: &mut [Sums],
) {
    let mut words = columns.words;
    let mut rest = sums;
    while !rest.is_empty() {
        let width = block_width(rest.len(), L::COLUMNS);
        let Some((block, behind)) = words.split_at_checked(WORDS * width * columns.units) else { return };
        let (sums, others) = rest.split_at_mut(width);
        (words, rest) = (behind, others);
        // SAFETY: by the caller.
        unsafe { multiply_block::<L, C, G, MANY>(codes, group, block, sums) };
        group.ahead = false;
    }
}

/// As [`multiply`], for two strips whose sums come one after the other, and more than [`FEW`] columns; meanwhile `bytes` from each
/// of `next` on are asked for.
///
/// # Safety
/// As there; the set has [`Lanes::PAIRS`].
#[inline(never)]
unsafe fn multiply_pair<L: Lanes, C: Codes, G: Grouping>(
    strips: [(&[u8], Group<'_>); TOGETHER],
    columns: Columns<'_>,
    sums: &mut [Sums],
    mut next: [*const u8; TOGETHER],
    bytes: usize,
) {
    let [(low, low_group), (high, high_group)] = strips;
    let Group { offset, first, units, .. } = low_group;
    debug_assert!(low.len().min(high.len()) >= units * C::UNIT_BYTES && units <= UNITS);
    let mut words = columns.words;
    let (mut low_rest, mut high_rest) = sums.split_at_mut(sums.len() / TOGETHER);
    let steps = low_rest.len() / PAIR_COLUMNS * Pair::steps(units);
    let lines = bytes.div_ceil(64).div_ceil(steps.max(1));
    while !low_rest.is_empty() && low_rest.len() == high_rest.len() {
        let width = block_width(low_rest.len(), L::COLUMNS);
        let Some((block, behind)) = words.split_at_checked(WORDS * width * columns.units) else { return };
        let (low_sums, low_others) = low_rest.split_at_mut(width);
        let (high_sums, high_others) = high_rest.split_at_mut(width);
        (words, low_rest, high_rest) = (behind, low_others, high_others);
        // SAFETY: by the caller.
        unsafe {
            if let Ok(low_sums) = <&mut [Sums; PAIR_COLUMNS]>::try_from(&mut *low_sums)
                && let Ok(high_sums) = <&mut [Sums; PAIR_COLUMNS]>::try_from(&mut *high_sums)
            {
                L::pair::<C, G>(Pair {
                    codes: [low.as_ptr(), high.as_ptr()],
                    scales: [low_group.scales, high_group.scales],
                    offset,
                    units,
                    columns: block.as_ptr().wrapping_add(WORDS * width * first),
                    sums: [low_sums, high_sums],
                    next,
                    lines,
                });
                next = next.map(|next| next.wrapping_add(64 * lines * Pair::steps(units)));
            } else {
                multiply_block::<L, C, G, true>(low, low_group, block, low_sums);
                multiply_block::<L, C, G, true>(high, high_group, block, high_sums);
            }
        }
    }
}

/// Adds the products of a group with one block of columns to the sums.
///
/// # Safety
/// As for [`multiply`]; `block` is all units of as many columns as there are sums.
#[inline(always)]
unsafe fn multiply_block<L: Lanes, C: Codes, G: Grouping, const MANY: bool>(
    codes: &[u8],
    group: Group<'_>,
    block: &[u32],
    sums: &mut [Sums],
) {
    let Group { scales, offset, first, units, ahead } = group;
    debug_assert!(codes.len() >= units * C::UNIT_BYTES && units <= UNITS);
    let width = sums.len();
    let columns = block.as_ptr().wrapping_add(WORDS * width * first);
    let block = Block { codes: codes.as_ptr(), scales, offset, units, ahead, columns, sums };
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
