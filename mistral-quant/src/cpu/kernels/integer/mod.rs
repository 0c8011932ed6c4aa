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
//! `isum = Σ (code - offset) * activation_code`, unit after unit; where scales are for 16 columns
//! `Σ_unit activation_scale * Σ_half (f32(isum) * scale - min * Σ activation_code)`. The
//! order depends on nothing but the columns: a token gets the same bits alone or beside others, packed or not.

pub(crate) mod activation;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
mod books;
mod codes;
mod groups;
pub(crate) mod lanes;
mod multiply;
#[cfg(target_arch = "aarch64")]
pub(super) mod neon;
pub(crate) mod pack;
mod pair;
mod plain;
pub(super) mod portable;
mod row;
mod tile;
mod trits;

use std::marker::PhantomData;

use self::activation::Columns;
pub(crate) use self::books::vbmi::Vbmi;
use self::codes::Codes;
use self::groups::Groups;
use self::lanes::Lanes;
use self::multiply::{Ahead, Group, multiply, multiply_pair};
pub(crate) use self::pack::{Layout, Pack};
use self::pack::{PackGroup, Panel, ReadScales, Vector};
use self::pair::PAIR_COLUMNS;
use self::plain::plain_product;
use self::row::take_row_of;
use self::tile::{Grouping, Scales, UNITS};
use crate::cpu::kernels::strip::{Strip, Sums};
use crate::formats::{UNIT, with_grid};

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
                IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ2_S IQ3_XXS IQ3_S TQ1_0 Q1_0 Q2_0]
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
                let Some((header, codes)) = groups.next::<L>(first, units, &mut space.packed) else { return };
                L::enter(ReadScales { header, units, scales: &mut space.scales, block: PhantomData::<B> });
                let ahead = groups.ahead(units);
                let group = Group { scales: &space.scales, offset: offset::<L, B>(), first, units, ahead };
                multiply::<L, L::Few<B::Codes>, B::Grouping, false>(codes, group, columns, sums);
            } else {
                let Some((codes, scales)) = groups.expand::<L>(first, units, vbmi, space) else { return };
                let group = Group { scales, offset: offset::<L, B>(), first, units, ahead: groups.ahead(units) };
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
            let Some((low_codes, low_scales)) = low.expand::<L>(first, units, vbmi, low_space) else { return };
            let Some((high_codes, high_scales)) = high.expand::<L>(first, units, vbmi, high_space) else { return };
            let group = Group { scales: low_scales, offset: offset::<L, B>(), first, units, ahead: Ahead::NOTHING };
            let strips = [(low_codes, group), (high_codes, Group { scales: high_scales, ..group })];
            let next = [low.next_or(&high, 0), high.next_or(&high, low.bytes)];
            let bytes = if low.bytes == 0 { 0 } else { const { Layout::of::<B>() }.group(units) };
            multiply_pair::<L, L::Many<B::Expanded>, B::Grouping>(strips, columns, sums, next, bytes);
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
