//! Bytes of 16 rows, moved: fields of blocks into headers, and bits into the planes of [`codes`](super::super::codes).
//!
//! Rows become lanes while there are few bytes: 16 bytes of 16 rows are transposed at a time as words, and what then lies in
//! the wrong bits is transposed between vectors.

use super::Vector;
use crate::cpu::kernels::integer::lanes::Lanes;
use crate::cpu::kernels::strip::STRIP;

/// Writes a field of each row to a header.
#[inline(always)]
pub(in super::super) fn write<const N: usize>(header: &mut [u8], fields: [[u8; N]; STRIP]) {
    for (to, from) in header.as_chunks_mut::<N>().0.iter_mut().zip(fields) {
        *to = from;
    }
}

/// A field of each block.
#[inline(always)]
pub(in super::super) fn array<'a, B, T: Copy>(blocks: [&'a B; STRIP], field: impl Fn(&'a B) -> T) -> [T; STRIP] {
    let mut fields = [field(blocks[0]); STRIP];
    for (to, block) in fields.iter_mut().zip(blocks) {
        *to = field(block);
    }
    fields
}

/// What `map` of an array gives. That one may stay a call, which is compiled without the features of the instruction set.
#[inline(always)]
pub(in super::super) fn each<T: Copy, U: Copy + Default, const N: usize>(from: [T; N], to: impl Fn(T) -> U) -> [U; N] {
    let mut all = [U::default(); N];
    for (all, from) in all.iter_mut().zip(from) {
        *all = to(from);
    }
    all
}

/// Transposes `N` bytes of each row, 16 at a time, into `N / 4` vectors.
#[inline(always)]
pub(in super::super) unsafe fn transpose<L: Lanes, const N: usize>(rows: [&[u8; N]; STRIP], to: &mut [Vector]) {
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
pub(super) fn split_nibbles(packed: &[Vector; 8], low: &mut [Vector], high: &mut [Vector]) {
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
pub(super) fn swap_pairs(v: &mut [Vector; 4]) {
    for (a, b, shift, mask) in [(0, 2, 4, 0x0F), (1, 3, 4, 0x0F), (0, 1, 2, 0x33), (2, 3, 2, 0x33)] {
        swap_fields(v, a, b, shift, mask);
    }
}

/// Bit `t` of vector `g` becomes bit `g` of vector `t`.
#[inline(always)]
pub(super) fn swap_bits(v: &mut [Vector; 8]) {
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
pub(in super::super) fn spread_bits(high: [[u8; 4]; STRIP], to: &mut Vector) {
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

/// Transposes 2-bit fields: in the four bytes of each row, field `k` of byte `j` becomes field `j` of byte `k`.
#[inline(always)]
pub(in super::super) fn transpose_pairs(v: &mut Vector) {
    for bytes in v.as_chunks_mut::<4>().0 {
        let mut word = u32::from_le_bytes(*bytes);
        // Fields are numbered 4j + k: the two digits of j change places with those of k.
        for (shift, mask) in [(6, 0x00CC_00CC), (12, 0x0000_F0F0)] {
            let changed = (word >> shift ^ word) & mask;
            word ^= changed << shift ^ changed;
        }
        *bytes = word.to_le_bytes();
    }
}

/// Two bits of 4 units in each byte, in two halves of 4 units: `PLANE` vectors into a unit of `VECTORS`.
#[inline(always)]
pub(in super::super) unsafe fn pack_pairs<L: Lanes, const VECTORS: usize, const PLANE: usize>(
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
