//! From blocks of 16 rows to a packed group, and from the header of a packed group to scales.
//!
//! Rows become lanes while there are few bytes: 16 bytes of 16 rows are transposed at a time as words, and what then lies in
//! the wrong bits is transposed between vectors. Nothing is lost or rounded; a header holds the bytes of the blocks, word by word.

#![allow(clippy::needless_range_loop)] // Rows of several arrays are walked together.

use std::marker::PhantomData;

use super::Expand;
use super::books::vbmi::Vbmi;
use super::codes::{Codes, Expanded, Fives, Floats4, Nibbles, NonLinear, Pairs, Signed, Sixes, Table, Threes};
use super::lanes::{Lanes, Operation, unroll};
use super::tile::{Grouping, Halves, HalvesWithMins, Scales, UNITS, Units, UnitsWithMins};
use crate::cpu::kernels::strip::STRIP;
use crate::formats::{
    Grid, IQ4_NL, IQ4_XS, MXFP4, NVFP4, Q2_K, Q3_K, Q4_0, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K, Q8_0, TQ2_0, UNIT,
    as_bytes, mxfp4,
};

/// A vector of codes: 4 bytes of 16 rows.
pub(super) type Vector = [u8; 64];

/// Codes of a group, 8 bits each.
pub(super) type Panel = [Vector; 8 * UNITS];

/// A block format with a packed form.
pub(crate) trait Pack: Grid {
    /// How its codes are packed.
    type Codes: Codes;
    /// The same codes, expanded; the class may allow for larger ones.
    type Expanded: Codes;
    /// How its scales and mins are shared out.
    type Grouping: Grouping;
    /// Bytes of scales and mins: of a whole group for formats of 256 weights a block, of a unit for the others.
    const HEADER: usize;
    /// Bytes of a unit of codes of 16 rows.
    const UNIT_BYTES: usize = <Self::Codes as Codes>::UNIT_BYTES;
    /// What stored codes are higher by than their values; signed ones are biased as [`Lanes::BIASED`] says instead.
    const STORED_OFFSET: i32 = Self::OFFSET as i32;
    /// Whether a tile can multiply with the codes as they are packed; if not, they are expanded for every number of columns.
    const DIRECT: bool = true;

    /// Packs blocks of 16 rows: a group for formats of 256 weights a block, a unit for the others. `header` and `codes` have the
    /// lengths of [`Layout`].
    ///
    /// # Safety
    /// Inside [`Lanes::enter`].
    unsafe fn pack<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]);

    /// Scales (and mins) of the first `units` units from the headers of a group.
    ///
    /// # Safety
    /// Inside [`Lanes::enter`].
    unsafe fn scales<L: Lanes>(header: &[u8], units: usize, scales: &mut Scales);

    /// Takes the codes of the first `units` units of a group out of their bits, as [`Pack::Expanded`] has them.
    ///
    /// # Safety
    /// The processor has the instruction set.
    unsafe fn expand<L: Lanes>(_: &[u8], codes: &[u8], units: usize, panel: &mut Panel, _: Option<Vbmi>) {
        // SAFETY: by the caller.
        unsafe { L::enter(Expand { packed: codes, units, panel, class: PhantomData::<Self::Codes> }) };
    }
}

/// Where things lie in a packed group: the header, from the next multiple of 64 the codes, unit by unit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    header: usize,
    per_block: usize,
    unit: usize,
}

impl Layout {
    pub(crate) const fn of<B: Pack>() -> Self {
        Self { header: B::HEADER, per_block: B::WEIGHTS / UNIT, unit: B::UNIT_BYTES }
    }

    /// Where the codes of a group of `units` start.
    pub(crate) const fn codes_at(self, units: usize) -> usize {
        (self.header * units.div_ceil(self.per_block)).next_multiple_of(64)
    }

    /// Bytes of a group of `units`.
    pub(crate) const fn group(self, units: usize) -> usize {
        self.codes_at(units) + self.unit * units
    }

    /// Bytes of a strip of `units`; `None` beyond 2^64.
    pub(crate) fn strip(self, units: usize) -> Option<usize> {
        (units / UNITS).checked_mul(self.group(UNITS))?.checked_add(self.group(units % UNITS))
    }
}

/// Packs units `first..first + units` of 16 rows into a group.
pub(super) struct PackGroup<'a, B> {
    pub(super) rows: &'a [&'a [B]; STRIP],
    pub(super) first: usize,
    pub(super) units: usize,
    /// As long as [`Layout::group`] says.
    pub(super) group: &'a mut [u8],
}

impl<B: Pack> Operation for PackGroup<'_, B> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let layout = const { Layout::of::<B>() };
        let Some((header, codes)) = self.group.split_at_mut_checked(layout.codes_at(self.units)) else { return };
        let codes = codes.as_chunks_mut::<64>().0.chunks_exact_mut(layout.unit * layout.per_block / 64);
        for (index, (header, codes)) in header.chunks_exact_mut(B::HEADER).zip(codes).enumerate() {
            let index = self.first / layout.per_block + index;
            let Some(block) = self.rows[0].get(index) else { return };
            let mut blocks = [block; STRIP];
            for (block, row) in blocks.iter_mut().zip(self.rows) {
                let Some(found) = row.get(index) else { return };
                *block = found;
            }
            // SAFETY: as this function.
            unsafe { B::pack::<L>(blocks, header, codes) };
        }
    }
}

/// Reads scales (and mins) out of the header of a group.
pub(super) struct ReadScales<'a, B> {
    pub(super) header: &'a [u8],
    pub(super) units: usize,
    pub(super) scales: &'a mut Scales,
    pub(super) block: PhantomData<B>,
}

impl<B: Pack> Operation for ReadScales<'_, B> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        // SAFETY: as this function.
        unsafe { B::scales::<L>(self.header, self.units, self.scales) };
    }
}

/// A field of each row at the start of a header.
#[inline(always)]
pub(super) fn fields<const N: usize>(header: &[u8]) -> &[[u8; N]; STRIP] {
    header.as_chunks::<N>().0.first_chunk().unwrap_or(&[[0; N]; STRIP])
}

/// Writes a field of each row to a header.
#[inline(always)]
pub(super) fn write<const N: usize>(header: &mut [u8], fields: [[u8; N]; STRIP]) {
    for (to, from) in header.as_chunks_mut::<N>().0.iter_mut().zip(fields) {
        *to = from;
    }
}

/// What `map` of an array gives. That one may stay a call, which is compiled without the features of the instruction set.
#[inline(always)]
pub(super) fn each<T: Copy, U: Copy + Default, const N: usize>(from: [T; N], to: impl Fn(T) -> U) -> [U; N] {
    let mut all = [U::default(); N];
    for (all, from) in all.iter_mut().zip(from) {
        *all = to(from);
    }
    all
}

/// The words of each row in `N` vectors; zeros where there are fewer.
#[inline(always)]
fn vectors_of_words<const N: usize>(header: &[u8]) -> [[u32; STRIP]; N] {
    let vectors = header.as_chunks::<64>().0.first_chunk().unwrap_or(&[[0; 64]; N]);
    let mut all = [[0; STRIP]; N];
    for (all, vector) in all.iter_mut().zip(vectors) {
        *all = words(vector);
    }
    all
}

/// One of each row's words; zeros where there are none. The length is fixed, so that the words are loaded as a vector: a loop that
/// copies them piece by piece makes the vector wait for its pieces.
#[inline(always)]
pub(super) fn words(header: &[u8]) -> [u32; STRIP] {
    let bytes = header.first_chunk::<64>().unwrap_or(&[0; 64]).as_chunks::<4>().0;
    let mut words = [0; STRIP];
    for row in 0..STRIP {
        words[row] = u32::from_le_bytes(bytes[row]);
    }
    words
}

/// The lower and the upper f16 of each row's word, as f32.
#[inline(always)]
unsafe fn two_halves<L: Lanes>(header: &[u8]) -> [[f32; STRIP]; 2] {
    let words = words(header);
    let (low, high) =
        (each(words, |word| (word as u16).to_le_bytes()), each(words, |word| ((word >> 16) as u16).to_le_bytes()));
    // SAFETY: as this function.
    unsafe { [L::widen(&low), L::widen(&high)] }
}

/// Transposes `N` bytes of each row, 16 at a time, into `N / 4` vectors.
#[inline(always)]
pub(super) unsafe fn transpose<L: Lanes, const N: usize>(rows: [&[u8; N]; STRIP], to: &mut [Vector]) {
    for (piece, to) in to.as_chunks_mut::<4>().0.iter_mut().enumerate().take(N / 16) {
        let mut pieces = [&[0; 16]; STRIP];
        for (row, bytes) in pieces.iter_mut().zip(rows) {
            *row = &bytes.as_chunks::<16>().0[piece];
        }
        // SAFETY: as this function.
        unsafe { L::transpose(pieces, to) };
    }
}

/// Low and high nibbles of 8 vectors become two units of nibbles.
#[inline(always)]
fn split_nibbles(packed: &[Vector; 8], low: &mut [Vector], high: &mut [Vector]) {
    for (g, (low, high)) in low.iter_mut().zip(high).enumerate().take(4) {
        for i in 0..64 {
            let (a, b) = (packed[g][i], packed[g + 4][i]);
            low[i] = a & 15 | b << 4;
            high[i] = a >> 4 | b & 0xF0;
        }
    }
}

/// Field `t` (2 bits) of vector `j` becomes field `j` of vector `t`.
#[inline(always)]
fn swap_pairs(v: &mut [Vector; 4]) {
    for (a, b, shift, mask) in [(0, 2, 4, 0x0F), (1, 3, 4, 0x0F), (0, 1, 2, 0x33), (2, 3, 2, 0x33)] {
        swap_fields(v, a, b, shift, mask);
    }
}

/// Bit `t` of vector `g` becomes bit `g` of vector `t`.
#[inline(always)]
fn swap_bits(v: &mut [Vector; 8]) {
    for i in 0..4 {
        swap_fields(v, i, i + 4, 4, 0x0F);
    }
    for i in [0, 1, 4, 5] {
        swap_fields(v, i, i + 2, 2, 0x33);
    }
    for i in [0, 2, 4, 6] {
        swap_fields(v, i, i + 1, 1, 0x55);
    }
}

/// Exchanges the upper fields of vector `a` with the lower ones of vector `b`.
#[inline(always)]
fn swap_fields<const N: usize>(v: &mut [Vector; N], a: usize, b: usize, shift: u32, mask: u8) {
    for i in 0..64 {
        let changed = (v[a][i] >> shift ^ v[b][i]) & mask;
        v[a][i] ^= changed << shift;
        v[b][i] ^= changed;
    }
}

/// A vector whose bit `g` of byte `4 * row + k` is bit `4g + k` of the row's word.
#[inline(always)]
pub(super) fn spread_bits(high: [[u8; 4]; STRIP], to: &mut Vector) {
    for (to, bytes) in to.as_chunks_mut::<4>().0.iter_mut().zip(high) {
        let mut word = u32::from_le_bytes(bytes);
        // Bit number 4g + k becomes 8k + g: its five digits rotate by two places, which four exchanges of two digits do.
        for (shift, mask) in [(1, 0x2222_2222), (3, 0x0A0A_0A0A), (6, 0x00CC_00CC), (12, 0x0000_F0F0)] {
            let changed = (word >> shift ^ word) & mask;
            word ^= changed << shift ^ changed;
        }
        *to = word.to_le_bytes();
    }
}

/// A format of 32 weights a block: codes by the given function, the header is the bytes before them.
macro_rules! pack_units {
    ($block:ident, $codes:ty, $expanded:ty, $grouping:ty, $header:literal, |$blocks:ident, $out:ident| $pack:block) => {
        impl Pack for $block {
            type Codes = $codes;
            type Expanded = $expanded;
            type Grouping = $grouping;
            const HEADER: usize = $header * STRIP;

            #[inline(always)]
            unsafe fn pack<L: Lanes>($blocks: [&Self; STRIP], header: &mut [u8], $out: &mut [Vector]) {
                let mut bytes = [[0; $header]; STRIP];
                for (bytes, block) in bytes.iter_mut().zip($blocks) {
                    *bytes = *as_bytes(block).first_chunk().unwrap_or(&[0; $header]);
                }
                write(header, bytes);
                // SAFETY: as this function.
                unsafe { $pack }
            }

            #[inline(always)]
            unsafe fn scales<L: Lanes>(header: &[u8], units: usize, scales: &mut Scales) {
                for (u, header) in header.chunks_exact(Self::HEADER).enumerate().take(units.min(UNITS)) {
                    // SAFETY: as this function.
                    unsafe {
                        if Self::MINS {
                            let [scale, sum] = two_halves::<L>(header);
                            scales.scales[u][0] = scale;
                            scales.mins[u][0] = each(sum, |sum| -sum);
                        } else {
                            scales.scales[u][0] = L::widen(fields(header));
                        }
                    }
                }
            }
        }
    };
}

pack_units!(Q8_0, Signed, Expanded<128>, Units, 2, |blocks, out| {
    transpose::<L, 32>(array(blocks, |block| &block.codes), out);
    for vector in out {
        vector.iter_mut().for_each(|code| *code ^= 0x80);
    }
});
pack_units!(Q4_0, Nibbles, Expanded<15>, Units, 2, |blocks, out| {
    transpose::<L, 16>(array(blocks, |block| &block.codes), out)
});
pack_units!(Q4_1, Nibbles, Expanded<15>, UnitsWithMins, 4, |blocks, out| {
    transpose::<L, 16>(array(blocks, |block| &block.codes), out)
});
pack_units!(Q5_0, Fives, Expanded<31>, Units, 2, |blocks, out| {
    transpose::<L, 16>(array(blocks, |block| &block.low), out);
    if let Some(high) = out.get_mut(4) {
        spread_bits(array(blocks, |block| block.high), high);
    }
});
pack_units!(Q5_1, Fives, Expanded<31>, UnitsWithMins, 4, |blocks, out| {
    transpose::<L, 16>(array(blocks, |block| &block.low), out);
    if let Some(high) = out.get_mut(4) {
        spread_bits(array(blocks, |block| block.high), high);
    }
});

pack_units!(IQ4_NL, Table<NonLinear>, Expanded<128>, Units, 2, |blocks, out| {
    transpose::<L, 16>(array(blocks, |block| &block.indices), out)
});

/// A field of each block.
#[inline(always)]
pub(super) fn array<'a, B, T: Copy>(blocks: [&'a B; STRIP], field: impl Fn(&'a B) -> T) -> [T; STRIP] {
    let mut fields = [field(blocks[0]); STRIP];
    for (to, block) in fields.iter_mut().zip(blocks) {
        *to = field(block);
    }
    fields
}

/// The header of Q4_K and Q5_K: the first 16 bytes of the blocks.
#[inline(always)]
unsafe fn pack_six_bit_header<L: Lanes, B: Grid>(blocks: [&B; STRIP], header: &mut [u8]) {
    let heads = array(blocks, |block| as_bytes(block).first_chunk().unwrap_or(&[0; 16]));
    // SAFETY: as this function.
    unsafe { transpose::<L, 16>(heads, header.as_chunks_mut().0) };
}

/// Scales and mins of Q4_K and Q5_K, see `formats::q4_k::scale_and_min`. In registers of rows, as all that follow: compilers take other
/// dimensions of these loops for the one to vectorise, and gather.
#[inline(always)]
unsafe fn six_bit_scales<L: Lanes>(header: &[u8], scales: &mut Scales) {
    let Some((head, rest)) = header.split_at_checked(64) else { return };
    // SAFETY: as this function.
    let [d, dmin] = unsafe { two_halves::<L>(head) };
    let words: [[u32; STRIP]; 3] = vectors_of_words(rest);
    for first in (0..STRIP).step_by(L::ROWS) {
        // SAFETY: as this function; there are `ROWS` rows from `first` on in each array.
        unsafe {
            let a = L::load_ints(words[0].as_ptr().add(first));
            let b = L::load_ints(words[1].as_ptr().add(first));
            let c = L::load_ints(words[2].as_ptr().add(first));
            let (d, dmin) = (L::load_floats(d.as_ptr().add(first)), L::load_floats(dmin.as_ptr().add(first)));
            unroll!(U in [0 1 2 3 4 5 6 7] {
                let shift = 8 * (U as u32 % 4);
                let (scale, min) = if U < 4 {
                    (L::bits(a, shift, 6), L::bits(b, shift, 6))
                } else {
                    (
                        L::or_shifted(L::bits(c, shift, 4), L::bits(a, shift + 6, 2), 4),
                        L::or_shifted(L::bits(c, shift + 4, 4), L::bits(b, shift + 6, 2), 4),
                    )
                };
                let (scales, mins) = (&mut scales.scales[U][0], &mut scales.mins[U][0]);
                L::store_floats(scales.as_mut_ptr().add(first), L::multiply(d, L::to_floats(scale)));
                L::store_floats(mins.as_mut_ptr().add(first), L::multiply(dmin, L::to_floats(min)));
            });
        }
    }
}

impl Pack for Q4_K {
    type Codes = Nibbles;
    type Expanded = Expanded<15>;
    type Grouping = UnitsWithMins;
    const HEADER: usize = 16 * STRIP;

    #[inline(always)]
    unsafe fn pack<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]) {
        // SAFETY: as this function.
        unsafe {
            pack_six_bit_header::<L, Self>(blocks, header);
            pack_nibble_pairs::<L, 4>(array(blocks, |block| &block.codes), codes);
        }
    }

    #[inline(always)]
    unsafe fn scales<L: Lanes>(header: &[u8], _: usize, scales: &mut Scales) {
        // SAFETY: as this function.
        unsafe { six_bit_scales::<L>(header, scales) };
    }
}

/// Four groups of 32 bytes, low nibbles of one unit and high nibbles of the next, into units of `VECTORS` vectors.
#[inline(always)]
unsafe fn pack_nibble_pairs<L: Lanes, const VECTORS: usize>(rows: [&[u8; 128]; STRIP], codes: &mut [Vector]) {
    for (pair, units) in codes.chunks_exact_mut(2 * VECTORS).enumerate().take(4) {
        let mut packed = [[0; 64]; 8];
        let pieces = array(rows, |row| &row.as_chunks::<32>().0[pair]);
        // SAFETY: as this function.
        unsafe { transpose::<L, 32>(pieces, &mut packed) };
        let (low, high) = units.split_at_mut(VECTORS);
        split_nibbles(&packed, low, high);
    }
}

impl Pack for Q5_K {
    type Codes = Fives;
    type Expanded = Expanded<31>;
    type Grouping = UnitsWithMins;
    const HEADER: usize = 16 * STRIP;

    #[inline(always)]
    unsafe fn pack<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]) {
        let mut high = [[0; 64]; 8];
        // SAFETY: as this function.
        unsafe {
            pack_six_bit_header::<L, Self>(blocks, header);
            pack_nibble_pairs::<L, 5>(array(blocks, |block| &block.low), codes);
            transpose::<L, 32>(array(blocks, |block| &block.high), &mut high);
        }
        swap_bits(&mut high);
        for (unit, high) in codes.chunks_exact_mut(5).zip(&high) {
            unit[4] = *high;
        }
    }

    #[inline(always)]
    unsafe fn scales<L: Lanes>(header: &[u8], _: usize, scales: &mut Scales) {
        // SAFETY: as this function.
        unsafe { six_bit_scales::<L>(header, scales) };
    }
}

/// Two bits of 4 units in each byte, in two halves of 4 units: `PLANE` vectors into a unit of `VECTORS`.
#[inline(always)]
unsafe fn pack_pairs<L: Lanes, const VECTORS: usize, const PLANE: usize>(
    rows: [&[u8; 64]; STRIP],
    codes: &mut [Vector],
) {
    for (half, units) in codes.chunks_exact_mut(4 * VECTORS).enumerate().take(2) {
        let pieces = array(rows, |row| &row.as_chunks::<32>().0[half]);
        let mut packed = [[[0; 64]; 4]; 2];
        // SAFETY: as this function.
        unsafe { transpose::<L, 32>(pieces, packed.as_flattened_mut()) };
        for (i, packed) in packed.iter_mut().enumerate() {
            swap_pairs(packed);
            for (unit, packed) in units.chunks_exact_mut(VECTORS).zip(packed) {
                unit[PLANE + i] = *packed;
            }
        }
    }
}

/// Signed scales, one a byte in four words a row, times d.
#[inline(always)]
unsafe fn signed_scales<L: Lanes>(words: &[[u32; STRIP]; 4], d: &[f32; STRIP], scales: &mut Scales) {
    for first in (0..STRIP).step_by(L::ROWS) {
        // SAFETY: as this function; there are `ROWS` rows from `first` on in each array.
        unsafe {
            let d = L::load_floats(d.as_ptr().add(first));
            unroll!(U in [0 1 2 3 4 5 6 7] {
                let words = L::load_ints(words[U / 2].as_ptr().add(first));
                let [low, high] = &mut scales.scales[U];
                let byte = 2 * (U as u32 % 2);
                let scale = L::multiply(d, L::to_floats(L::signed_byte(words, byte)));
                L::store_floats(low.as_mut_ptr().add(first), scale);
                let scale = L::multiply(d, L::to_floats(L::signed_byte(words, byte + 1)));
                L::store_floats(high.as_mut_ptr().add(first), scale);
            });
        }
    }
}

/// Six bits less 32, exactly, times d.
#[inline(always)]
unsafe fn centred<L: Lanes>(d: L::Floats, six: L::Ints) -> L::Floats {
    // SAFETY: as this function.
    unsafe { L::multiply(d, L::fused(L::to_floats(six), L::floats(1.0), L::floats(-32.0))) }
}

impl Pack for Q6_K {
    type Codes = Sixes;
    type Expanded = Expanded<63>;
    type Grouping = Halves;
    const HEADER: usize = 18 * STRIP;

    #[inline(always)]
    unsafe fn pack<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]) {
        let Some((scales, d)) = header.split_at_mut_checked(256) else { return };
        write(d, array(blocks, |block| block.d));
        // SAFETY: as this function.
        unsafe {
            transpose::<L, 16>(array(blocks, |block| &block.scales), scales.as_chunks_mut().0);
            pack_pairs::<L, 6, 4>(array(blocks, |block| &block.high), codes);
            for (half, units) in codes.chunks_exact_mut(4 * 6).enumerate().take(2) {
                let (first, second) = units.split_at_mut(2 * 6);
                for (t, (low, high)) in first.chunks_exact_mut(6).zip(second.chunks_exact_mut(6)).enumerate() {
                    let mut packed = [[0; 64]; 8];
                    let pieces = array(blocks, |block| &block.low.as_chunks::<32>().0[2 * half + t]);
                    transpose::<L, 32>(pieces, &mut packed);
                    split_nibbles(&packed, low, high);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn scales<L: Lanes>(header: &[u8], _: usize, scales: &mut Scales) {
        let Some((bytes, d)) = header.split_at_checked(256) else { return };
        // SAFETY: as this function.
        let d = unsafe { L::widen(fields(d)) };
        // SAFETY: as this function.
        unsafe { signed_scales::<L>(&vectors_of_words(bytes), &d, scales) };
    }
}

impl Pack for Q2_K {
    type Codes = Pairs;
    type Expanded = Expanded<15>;
    type Grouping = HalvesWithMins;
    const HEADER: usize = 20 * STRIP;

    #[inline(always)]
    unsafe fn pack<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]) {
        let Some((scales, d)) = header.split_at_mut_checked(256) else { return };
        write(d, array(blocks, |block| [block.d[0], block.d[1], block.dmin[0], block.dmin[1]]));
        // SAFETY: as this function.
        unsafe {
            transpose::<L, 16>(array(blocks, |block| &block.scales), scales.as_chunks_mut().0);
            pack_pairs::<L, 2, 0>(array(blocks, |block| &block.codes), codes);
        }
    }

    #[inline(always)]
    unsafe fn scales<L: Lanes>(header: &[u8], _: usize, scales: &mut Scales) {
        let Some((bytes, d)) = header.split_at_checked(256) else { return };
        // SAFETY: as this function.
        let [d, dmin] = unsafe { two_halves::<L>(d) };
        let words: [[u32; STRIP]; 4] = vectors_of_words(bytes);
        for first in (0..STRIP).step_by(L::ROWS) {
            // SAFETY: as this function; there are `ROWS` rows from `first` on in each array.
            unsafe {
                let (d, dmin) = (L::load_floats(d.as_ptr().add(first)), L::load_floats(dmin.as_ptr().add(first)));
                unroll!(H in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] {
                    let both = L::load_ints(words[H / 4].as_ptr().add(first));
                    let byte = 8 * (H as u32 % 4);
                    let (scales, mins) = (&mut scales.scales[H / 2][H % 2], &mut scales.mins[H / 2][H % 2]);
                    let scale = L::multiply(d, L::to_floats(L::bits(both, byte, 4)));
                    L::store_floats(scales.as_mut_ptr().add(first), scale);
                    let min = L::multiply(dmin, L::to_floats(L::bits(both, byte + 4, 4)));
                    L::store_floats(mins.as_mut_ptr().add(first), min);
                });
            }
        }
    }
}

impl Pack for Q3_K {
    type Codes = Threes;
    type Expanded = Expanded<15>;
    type Grouping = Halves;
    const HEADER: usize = 14 * STRIP;

    #[inline(always)]
    unsafe fn pack<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]) {
        let Some((scales, d)) = header.split_at_mut_checked(192) else { return };
        write(d, array(blocks, |block| block.d));
        for (w, words) in scales.as_chunks_mut::<64>().0.iter_mut().enumerate().take(3) {
            write(words, array(blocks, |block| block.scales.as_chunks::<4>().0[w]));
        }
        let mut high = [[0; 64]; 8];
        // SAFETY: as this function.
        unsafe {
            pack_pairs::<L, 3, 0>(array(blocks, |block| &block.low), codes);
            transpose::<L, 32>(array(blocks, |block| &block.high), &mut high);
        }
        swap_bits(&mut high);
        for (unit, high) in codes.chunks_exact_mut(3).zip(&high) {
            unit[2] = *high;
        }
    }

    #[inline(always)]
    unsafe fn scales<L: Lanes>(header: &[u8], _: usize, scales: &mut Scales) {
        let Some((bytes, d)) = header.split_at_checked(192) else { return };
        // SAFETY: as this function.
        let d = unsafe { L::widen(fields(d)) };
        let words: [[u32; STRIP]; 3] = vectors_of_words(bytes);
        for first in (0..STRIP).step_by(L::ROWS) {
            // SAFETY: as this function; there are `ROWS` rows from `first` on in each array.
            unsafe {
                let d = L::load_floats(d.as_ptr().add(first));
                let upper = L::load_ints(words[2].as_ptr().add(first));
                unroll!(H in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] {
                    let low = L::load_ints(words[H / 4 % 2].as_ptr().add(first));
                    let byte = 8 * (H as u32 % 4);
                    let low = L::bits(low, byte + 4 * (H as u32 / 8), 4);
                    let six = L::or_shifted(low, L::bits(upper, byte + 2 * (H as u32 / 4), 2), 4);
                    let scales = &mut scales.scales[H / 2][H % 2];
                    L::store_floats(scales.as_mut_ptr().add(first), centred::<L>(d, six));
                });
            }
        }
    }
}

impl Pack for TQ2_0 {
    type Codes = Pairs;
    type Expanded = Expanded<15>;
    type Grouping = Units;
    const HEADER: usize = 2 * STRIP;

    #[inline(always)]
    unsafe fn pack<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]) {
        write(header, array(blocks, |block| block.d));
        // SAFETY: as this function.
        unsafe { pack_pairs::<L, 2, 0>(array(blocks, |block| &block.codes), codes) };
    }

    #[inline(always)]
    unsafe fn scales<L: Lanes>(header: &[u8], _: usize, scales: &mut Scales) {
        // SAFETY: as this function.
        let d = unsafe { L::widen(fields(header)) };
        scales.scales.iter_mut().for_each(|unit| unit[0] = d);
    }
}

impl Pack for IQ4_XS {
    type Codes = Table<NonLinear>;
    type Expanded = Expanded<128>;
    type Grouping = Units;
    const HEADER: usize = 8 * STRIP;

    #[inline(always)]
    unsafe fn pack<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]) {
        let Some((d, low)) = header.split_at_mut_checked(64) else { return };
        write(d, array(blocks, |block| [block.d[0], block.d[1], block.scales_high[0], block.scales_high[1]]));
        write(low, array(blocks, |block| block.scales_low));
        for (u, unit) in codes.as_chunks_mut::<4>().0.iter_mut().enumerate().take(UNITS) {
            // SAFETY: as this function.
            unsafe { L::transpose(array(blocks, |block| &block.indices[u]), unit) };
        }
    }

    #[inline(always)]
    unsafe fn scales<L: Lanes>(header: &[u8], _: usize, scales: &mut Scales) {
        let Some((head, low)) = header.split_at_checked(64) else { return };
        // SAFETY: as this function.
        let [d, _] = unsafe { two_halves::<L>(head) };
        let (high, low) = (words(head), words(low));
        for first in (0..STRIP).step_by(L::ROWS) {
            // SAFETY: as this function; there are `ROWS` rows from `first` on in each array.
            unsafe {
                let d = L::load_floats(d.as_ptr().add(first));
                let high = L::load_ints(high.as_ptr().add(first));
                let low = L::load_ints(low.as_ptr().add(first));
                unroll!(U in [0 1 2 3 4 5 6 7] {
                    let six = L::or_shifted(L::bits(low, 4 * U as u32, 4), L::bits(high, 16 + 2 * U as u32, 2), 4);
                    L::store_floats(scales.scales[U][0].as_mut_ptr().add(first), centred::<L>(d, six));
                });
            }
        }
    }
}

impl Pack for MXFP4 {
    type Codes = Table<Floats4>;
    type Expanded = Expanded<31>;
    type Grouping = Units;
    const HEADER: usize = STRIP;

    #[inline(always)]
    unsafe fn pack<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]) {
        write(header, array(blocks, |block| [block.e]));
        // SAFETY: as this function.
        unsafe { transpose::<L, 16>(array(blocks, |block| &block.indices), codes) };
    }

    #[inline(always)]
    unsafe fn scales<L: Lanes>(header: &[u8], units: usize, scales: &mut Scales) {
        for (scales, header) in scales.scales.iter_mut().zip(header.as_chunks::<STRIP>().0).take(units) {
            scales[0] = each(*header, mxfp4::half_scale);
        }
    }
}

impl Pack for NVFP4 {
    type Codes = Table<Floats4>;
    type Expanded = Expanded<31>;
    type Grouping = Halves;
    const HEADER: usize = 4 * STRIP;

    #[inline(always)]
    unsafe fn pack<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]) {
        write(header, array(blocks, |block| block.scales));
        for (u, unit) in codes.as_chunks_mut::<4>().0.iter_mut().enumerate().take(2) {
            // Low nibbles are the first 8 columns of a group of 16, high ones the last.
            let pieces =
                array(blocks, |block| block.indices.as_flattened().as_chunks::<16>().0.get(u).unwrap_or(&[0; 16]));
            let mut packed = [[0; 64]; 4];
            // SAFETY: as this function.
            unsafe { L::transpose(pieces, &mut packed) };
            for g in 0..2 {
                for i in 0..64 {
                    let (a, b) = (packed[g][i], packed[g + 2][i]);
                    unit[g][i] = a & 15 | b << 4;
                    unit[g + 2][i] = a >> 4 | b & 0xF0;
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn scales<L: Lanes>(header: &[u8], units: usize, scales: &mut Scales) {
        // The three bits of mantissa and four of exponent under the exponent of f32, whose bias is 120 more; and half of it.
        let scale = f32::from_bits((127 + 119) << 23);
        for (u, scales) in scales.scales.iter_mut().enumerate().take(units) {
            let words = words(header.as_chunks::<64>().0.get(u / 2).unwrap_or(&[0; 64]));
            for half in 0..2 {
                for row in 0..STRIP {
                    let byte = words[row] >> (16 * (u % 2) + 8 * half) & 0x7F;
                    let byte = if byte == 0x7F { 0 } else { byte };
                    scales[half][row] = f32::from_bits(byte << 20) * scale;
                }
            }
        }
    }
}
