//! The integer matrix kernels: 16 weight rows times columns of 8-bit activations.
//!
//! There is one kernel for all instruction sets and formats. Its operand is a *group*: 16 rows of up to 256 columns, packed so that
//! the lanes of a register are rows: no horizontal sums, and four activations are one broadcast. A group keeps the codes of
//! the blocks bit by bit and their scales byte by byte ([`pack`]). It comes out of persistent [`Packed`](super::packed::Packed)
//! weights, one sequential stream for a worker, or is packed from the blocks of the checkpoint on the way. Few columns are
//! multiplied with codes that are taken out of their bits in registers; for many the codes are taken out once, to a panel.
//!
//! Each output is `Σ_unit f32(isum) * (scale * activation_scale) - min * activation_sum` with the exact integer
//! `isum = Σ (code - offset) * activation_code`, unit after unit (half after half where scales are for 16 columns). The
//! order depends on nothing but the columns: a token gets the same bits alone or beside others, packed or not.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
mod codes;
pub(crate) mod lanes;
#[cfg(target_arch = "aarch64")]
pub(super) mod neon;
pub(crate) mod pack;
pub(super) mod portable;
mod row;
mod tile;

use std::marker::PhantomData;

use self::codes::{Codes, Expanded};
use self::lanes::{Lanes, Operation, unroll};
pub(crate) use self::pack::{Layout, Pack};
use self::pack::{Vector, pack_group};
use self::row::TakeRow;
use self::tile::{Scales, Tile, UNITS};
use crate::cpu::activations::{Columns, WORDS};
use crate::cpu::kernels::strip::{STRIP, Strip, Sums};
use crate::formats::{Grid, UNIT, with_grid};

/// Columns up to which codes are taken out of their bits anew for each block of columns.
const FEW: usize = 4;

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
    codes: [Vector; 8 * UNITS],
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
            [Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K Q4_K Q5_K Q6_K]
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
            L::enter(PackedProduct::<B> { source, columns, workspace, sums, block: PhantomData });
        }, _ => with_grid!(strip.format, B => {
            L::enter(PlainProduct::<B> { strip, columns, workspace, sums, block: PhantomData });
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
        unsafe { L::enter(PackStrip::<B> { strip, packed, block: PhantomData }) }
    }, _ => ());
}

/// Decodes one row of a packed strip.
///
/// # Safety
/// The processor has the instruction set.
pub(super) unsafe fn take_row<L: Lanes>(strip: Strip<'_>, row: usize, out: &mut [f32]) {
    with_pack!(strip.format, B => {
        // SAFETY: by the caller.
        unsafe { L::enter(TakeRow::<B> { strip, row, out, block: PhantomData }) }
    }, _ => ());
}

struct PackStrip<'a, B> {
    strip: Strip<'a>,
    packed: &'a mut [u8],
    block: PhantomData<B>,
}

impl<B: Pack> Operation for PackStrip<'_, B> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let layout = const { Layout::of::<B>() };
        let units = self.strip.cols / UNIT;
        let rows = self.strip.blocks::<B>();
        for (index, group) in self.packed.chunks_mut(layout.group(UNITS)).enumerate() {
            let first = index * UNITS;
            // SAFETY: as this function.
            unsafe { pack_group::<L, B>(&rows, first, UNITS.min(units.saturating_sub(first)), group) };
        }
    }
}

/// A strip in a format with a packed form.
struct PackedProduct<'a, B> {
    source: StripSource<'a>,
    columns: Columns<'a>,
    workspace: &'a mut Workspace,
    sums: &'a mut [Sums],
    block: PhantomData<B>,
}

impl<B: Pack> Operation for PackedProduct<'_, B> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let layout = const { Layout::of::<B>() };
        let strip = self.source.strip();
        let rows = match self.source {
            StripSource::Blocks(strip) => strip.blocks::<B>(),
            StripSource::Packed(_) => [&[][..]; STRIP],
        };
        let Workspace { packed, codes: panel, scales } = self.workspace;
        let mut rest = strip.bytes;
        let units = strip.cols / UNIT;
        for first in (0..units).step_by(UNITS) {
            let count = UNITS.min(units - first);
            let group = match self.source {
                StripSource::Blocks(_) => {
                    let Some(group) = packed.as_flattened_mut().get_mut(..layout.group(count)) else { return };
                    // SAFETY: as this function.
                    unsafe { pack_group::<L, B>(&rows, first, count, group) };
                    &*group
                }
                StripSource::Packed(_) => {
                    let Some((group, behind)) = rest.split_at_checked(layout.group(count)) else { return };
                    rest = behind;
                    group
                }
            };
            let Some((header, codes)) = group.split_at_checked(layout.codes_at(count)) else { return };
            // SAFETY: as this function; `codes` are `count` units, and `expand` writes as many.
            unsafe {
                B::scales::<L>(header, count, scales);
                // Codes of 8 bits are as good as expanded.
                if self.sums.len() <= FEW || B::Codes::UNIT_BYTES >= 512 {
                    multiply::<L, B::Codes>(codes, scales, first, count, self.columns, self.sums);
                } else {
                    expand::<L, B::Codes>(codes, count, panel);
                    multiply::<L, B::Expanded>(panel.as_flattened(), scales, first, count, self.columns, self.sums);
                }
            }
        }
    }
}

/// Codes of any format less its offset.
type Any<const HALVES: bool, const MINS: bool> = Expanded<128, 0, HALVES, MINS>;

/// A strip in a format that is not packed: codes come one by one from [`Grid::unit`].
struct PlainProduct<'a, B> {
    strip: Strip<'a>,
    columns: Columns<'a>,
    workspace: &'a mut Workspace,
    sums: &'a mut [Sums],
    block: PhantomData<B>,
}

impl<B: Grid> Operation for PlainProduct<'_, B> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let rows = self.strip.blocks::<B>();
        let units = self.strip.cols / UNIT;
        let Workspace { codes, scales, .. } = self.workspace;
        for first in (0..units).step_by(UNITS) {
            let count = UNITS.min(units - first);
            for (row, blocks) in rows.iter().enumerate() {
                fill_row::<L, B>(blocks, row, first, count, codes, scales);
            }
            // SAFETY: as this function; `codes` has room for all units of a group.
            unsafe {
                let codes = codes.as_flattened();
                match (B::HALVES, B::MINS) {
                    (false, false) => {
                        multiply::<L, Any<false, false>>(codes, scales, first, count, self.columns, self.sums)
                    }
                    (false, true) => {
                        multiply::<L, Any<false, true>>(codes, scales, first, count, self.columns, self.sums)
                    }
                    (true, false) => {
                        multiply::<L, Any<true, false>>(codes, scales, first, count, self.columns, self.sums)
                    }
                    (true, true) => {
                        multiply::<L, Any<true, true>>(codes, scales, first, count, self.columns, self.sums)
                    }
                }
            }
        }
    }
}

/// Takes the units of one row apart into a panel.
fn fill_row<L: Lanes, B: Grid>(
    blocks: &[B],
    row: usize,
    first: usize,
    count: usize,
    codes: &mut [Vector; 8 * UNITS],
    scales: &mut Scales,
) {
    let per_block = B::WEIGHTS / UNIT;
    let flip = if L::BIASED { 0x80 } else { 0 };
    for u in 0..count {
        let Some(block) = blocks.get((first + u) / per_block) else { return };
        let unit = block.unit((first + u) % per_block);
        for (vector, codes) in codes[8 * u..].iter_mut().zip(unit.codes.as_chunks::<4>().0) {
            vector[4 * row..4 * row + 4].copy_from_slice(&codes.map(|code| code.wrapping_sub(B::OFFSET) as u8 ^ flip));
        }
        for half in 0..2 {
            scales.scales[u][half][row] = unit.scales[half];
            scales.mins[u][half][row] = unit.mins[half];
        }
    }
}

/// Takes the codes of `units` units out of their bits.
///
/// # Safety
/// Inside [`Lanes::enter`]; `packed` has `units` units, at most [`UNITS`].
#[inline(always)]
unsafe fn expand<L: Lanes, C: Codes>(packed: &[u8], units: usize, panel: &mut [Vector; 8 * UNITS]) {
    debug_assert!(packed.len() >= units * C::UNIT_BYTES && units <= UNITS);
    let panel = panel.as_mut_ptr().cast::<u8>();
    for u in 0..units {
        for part in 0..STRIP / L::ROWS {
            // SAFETY: 8 vectors a unit in both.
            unsafe {
                let unit = packed.as_ptr().add(u * C::UNIT_BYTES + 4 * L::ROWS * part);
                let to = panel.add(512 * u + 4 * L::ROWS * part);
                unroll!(G in [0 1 2 3 4 5 6 7] { L::store(to.add(64 * G), C::vector::<L>(unit, G)) });
            }
        }
    }
}

/// Adds the products of a group with all columns to the sums.
///
/// # Safety
/// Inside [`Lanes::enter`]; `codes` has `units` units, at most [`UNITS`], and `columns` has units `first..first + units`.
#[inline(always)]
unsafe fn multiply<L: Lanes, C: Codes>(
    codes: &[u8],
    scales: &Scales,
    first: usize,
    units: usize,
    columns: Columns<'_>,
    sums: &mut [Sums],
) {
    debug_assert!(codes.len() >= units * C::UNIT_BYTES && units <= UNITS && first + units <= columns.units);
    let mut words = columns.words;
    for sums in sums.chunks_mut(L::COLUMNS) {
        let Some((block, behind)) = words.split_at_checked(WORDS * sums.len() * columns.units) else { return };
        words = behind;
        let columns = block.as_ptr().wrapping_add(WORDS * sums.len() * first);
        let codes = codes.as_ptr();
        unroll!(I in [0 1 2 3 4 5 6 7 8 9 10 11] {
            if I < L::COLUMNS && sums.len() == I + 1
                && let Some(sums) = sums.first_chunk_mut()
            {
                tile::<L, C, { I + 1 }>(Tile { codes, scales, units, columns, sums, class: PhantomData });
            }
        });
    }
}

#[inline(always)]
fn tile<L: Lanes, C: Codes, const N: usize>(tile: Tile<'_, C, N>) {
    // SAFETY: the callers are inside `L::enter`, and say how long codes and columns are.
    unsafe { L::enter(tile) };
}
