//! The few instructions that the integer kernels are written in, one implementation for each instruction set.
//!
//! A register holds 4 bytes of [`Lanes::ROWS`] rows. Kernels are generic bodies that are always inlined into the one function of an
//! instruction set that has its features enabled ([`Lanes::enter`]); there the primitives, always inlined too, become
//! single instructions. Source of the technique: the `pulp` crate.

use super::codes::Codes;
use super::pair::Pair;
use super::tile::{Block, Grouping};
use crate::cpu::kernels::strip::STRIP;

/// A computation that an instruction set runs with its features enabled.
pub(crate) trait Operation {
    /// Computes; implementations are `#[inline(always)]`, and so is what they call, other [`Lanes::enter`]s apart.
    ///
    /// # Safety
    /// Only [`Lanes::enter`] calls this. What the operation's pointers must point to is stated where it is made.
    unsafe fn run<L: Lanes>(self);
}

/// An instruction set's registers and primitives.
///
/// # Safety
/// All functions need a processor with the instruction set, and pointers to as many bytes as are named; none needs alignment.
pub(crate) trait Lanes: Copy + 'static {
    /// Rows of a register; divides [`STRIP`].
    const ROWS: usize;
    /// Registers of rows that a tile takes at a time: 1, 2 or 4; `REGISTERS * ROWS` divides [`STRIP`].
    const REGISTERS: usize;
    /// Columns of the widest tile, at least 4.
    const COLUMNS: usize;
    /// Whether few columns are multiplied with codes taken out of their bits in registers, not by way of a panel.
    const DIRECT: bool;
    /// Signed 8-bit codes are multiplied as unsigned bytes, 128 higher, and the offset is 128.
    const BIASED: bool;
    /// The class whose tiles multiply few columns with packed codes of class `C`; not used unless `DIRECT`.
    type Few<C: Codes>: Codes;
    /// The class whose tiles multiply with expanded codes of class `C`: always the same one for sets that add up in 32 bits and do
    /// not care for signs.
    type Many<C: Codes>: Codes;
    /// The set that packs blocks and reads headers for this one: what moves bytes gains little from wider registers, and is
    /// long to compile.
    type Moves: Lanes;
    /// Whether two strips are multiplied together where there are enough columns ([`Lanes::pair`]).
    const PAIRS: bool = false;
    /// Codes: 4 bytes a row.
    type Bytes: Copy;
    /// Products and their sums: 32 bits a row.
    type Ints: Copy;
    /// f32 a row.
    type Floats: Copy;

    /// Runs `operation` with the features of this set.
    unsafe fn enter<O: Operation>(operation: O);
    /// A block of more than 4 columns: those widths of [`block_width`] up to `COLUMNS`.
    #[inline(always)]
    unsafe fn wide<C: Codes, G: Grouping>(block: Block<'_>) {
        debug_assert!(block.sums.is_empty());
    }
    /// Two strips; only if `PAIRS`.
    #[inline(always)]
    unsafe fn pair<C: Codes, G: Grouping>(pair: Pair<'_>) {
        debug_assert!(pair.units == 0);
    }

    /// `4 * ROWS` bytes.
    unsafe fn load(from: *const u8) -> Self::Bytes;
    /// `4 * ROWS` bytes.
    unsafe fn store(to: *mut u8, bytes: Self::Bytes);
    /// `bytes & mask` in each byte.
    unsafe fn and(bytes: Self::Bytes, mask: u8) -> Self::Bytes;
    /// `bytes ^ mask` in each byte.
    unsafe fn xor(bytes: Self::Bytes, mask: u8) -> Self::Bytes;
    /// `base | bytes & mask` in each byte.
    unsafe fn or_masked(base: Self::Bytes, bytes: Self::Bytes, mask: u8) -> Self::Bytes;
    /// Shifts bytes right (left where negative) by less than 8; bits of the neighbouring byte may come in, to be masked off.
    unsafe fn shift(bytes: Self::Bytes, right: i32) -> Self::Bytes;
    /// `table[index]` of each byte below 16.
    unsafe fn look_up(table: &[u8; 16], indices: Self::Bytes) -> Self::Bytes;

    /// `bytes + value` in each byte.
    unsafe fn plus(bytes: Self::Bytes, value: u8) -> Self::Bytes;
    /// `a - b` in each byte.
    unsafe fn minus(a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    /// `-bytes` in each byte in which `plane` has bit `bit`.
    unsafe fn negate(bytes: Self::Bytes, plane: Self::Bytes, bit: usize) -> Self::Bytes;

    /// Writes the bytes of `a` and `b` by turns.
    #[inline(always)]
    unsafe fn interleave(a: Self::Bytes, b: Self::Bytes, to: *mut u8) {
        let (mut first, mut second) = ([0; 4 * STRIP], [0; 4 * STRIP]);
        // SAFETY: `8 * ROWS` writable bytes by the caller; `ROWS` is not above `STRIP`.
        unsafe {
            Self::store(first.as_mut_ptr(), a);
            Self::store(second.as_mut_ptr(), b);
            for (i, (a, b)) in first.into_iter().zip(second).enumerate().take(4 * Self::ROWS) {
                to.cast::<[u8; 2]>().add(i).write([a, b]);
            }
        }
    }

    /// The first four bytes of points of eight, and the last four: of each row the point that `index` says.
    #[inline(always)]
    unsafe fn eights(points: *const u64, index: impl Fn(usize) -> usize) -> [Self::Bytes; 2] {
        let mut parts = [[[0; 4]; STRIP]; 2];
        for row in 0..Self::ROWS {
            // SAFETY: there are such points, by the caller.
            let point = unsafe { points.add(index(row)).read() }.to_le_bytes();
            for (part, half) in parts.iter_mut().zip(point.as_chunks().0) {
                part[row] = *half;
            }
        }
        // SAFETY: `ROWS` is not above `STRIP`.
        unsafe { [Self::load(parts[0].as_ptr().cast()), Self::load(parts[1].as_ptr().cast())] }
    }
    /// As `eights`, of four bytes.
    #[inline(always)]
    unsafe fn fours(points: *const u32, index: impl Fn(usize) -> usize) -> Self::Bytes {
        let mut all = [[0; 4]; STRIP];
        for (row, point) in all.iter_mut().enumerate().take(Self::ROWS) {
            // SAFETY: there are such points, by the caller.
            *point = unsafe { points.add(index(row)).read() }.to_le_bytes();
        }
        // SAFETY: `ROWS` is not above `STRIP`.
        unsafe { Self::load(all.as_ptr().cast()) }
    }

    /// The same integer in each row.
    unsafe fn ints(value: i32) -> Self::Ints;
    /// A word of each row.
    unsafe fn load_ints(from: *const u32) -> Self::Ints;
    /// `width` bits of each word from bit `from` on.
    unsafe fn bits(words: Self::Ints, from: u32, width: u32) -> Self::Ints;
    /// A byte of each word as a signed number.
    unsafe fn signed_byte(words: Self::Ints, byte: u32) -> Self::Ints;
    /// `low | high << by`.
    unsafe fn or_shifted(low: Self::Ints, high: Self::Ints, by: u32) -> Self::Ints;
    /// The floats that have these bits.
    unsafe fn from_bits(bits: Self::Ints) -> Self::Floats;
    /// What products are added to until `finish`.
    unsafe fn start(sums: Self::Ints) -> Self::Ints;
    /// Adds the products of each row's codes with the same four activations at `x`. Codes are unsigned; where `signed`, they are
    /// signed. Sets with one class for all ([`Lanes::Many`]) ask for no difference: unsigned codes that are below 128 (or, if
    /// `BIASED`, below 256) are as good. Between `start` and `finish` at most as many as [`run_length`] says.
    unsafe fn multiply_add(signed: bool, products: Self::Ints, codes: Self::Bytes, x: *const u32) -> Self::Ints;
    /// `sums` and the products since `start(sums)`.
    unsafe fn finish(sums: Self::Ints, products: Self::Ints) -> Self::Ints;

    /// The same f32 in each row.
    unsafe fn floats(value: f32) -> Self::Floats;
    /// `ROWS` floats.
    unsafe fn load_floats(from: *const f32) -> Self::Floats;
    /// `ROWS` floats.
    unsafe fn store_floats(to: *mut f32, floats: Self::Floats);
    /// The integers, rounded.
    unsafe fn to_floats(ints: Self::Ints) -> Self::Floats;
    /// `a * b`.
    unsafe fn multiply(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a * b + c`.
    unsafe fn fused(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    /// `c - a * b`.
    unsafe fn fused_less(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;

    /// Writes word `g` of each row's 16 bytes to `to[g]`, row after row.
    #[inline(always)]
    unsafe fn transpose(rows: [&[u8; 16]; STRIP], to: &mut [[u8; 64]; 4]) {
        for (g, to) in to.iter_mut().enumerate() {
            for (to, row) in to.as_chunks_mut::<4>().0.iter_mut().zip(rows) {
                *to = row.as_chunks::<4>().0[g];
            }
        }
    }

    /// The f32 of 16 f16.
    #[inline(always)]
    unsafe fn widen(halves: &[[u8; 2]; STRIP]) -> [f32; STRIP] {
        halves.map(|half| half::f16::from_le_bytes(half).to_f32())
    }
}

/// The width of the next block of columns when `left` columns are left: one of few, because each is a kernel of its own.
pub(crate) fn block_width(left: usize, widest: usize) -> usize {
    [12, 8, 4, 2, 1].into_iter().find(|&width| width <= left && width <= widest).unwrap_or(1)
}

/// Code vectors whose products may be added up before `finish`: the sums of `maddubs` are exact in 16 bits as long as
/// `2 * max_code * 127` times their number is below 2^15. At most 8, the vectors of a unit.
pub(crate) const fn run_length(max_code: i32) -> usize {
    match 32767 / (2 * max_code * 127) {
        8.. => 8,
        4..8 => 4,
        2..4 => 2,
        _ => 1,
    }
}

/// Asks for the cache line of an address; there may be nothing there.
#[inline(always)]
#[allow(unused_unsafe)] // Later compilers have made the intrinsic safe.
pub(super) fn prefetch(address: *const u8) {
    // SAFETY: a prefetch is a hint: it reads nothing that the program can see and never faults.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Repeats a block with a constant, as straight code: what depends on it must not remain a loop.
macro_rules! unroll {
    ($i:ident in [$($n:literal)*] $body:block) => { $( { const $i: usize = $n; $body } )* };
}
pub(crate) use unroll;
