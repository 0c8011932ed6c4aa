//! From the bytes of a header to scales, in registers of rows.
//!
//! What is written as a loop over rows and units compilers vectorise along another dimension than the rows, and gather.

use super::bits::each;
use crate::cpu::kernels::integer::lanes::Lanes;
use crate::cpu::kernels::strip::STRIP;

/// A field of each row at the start of a header.
#[inline(always)]
pub(in super::super) fn fields<const N: usize>(header: &[u8]) -> &[[u8; N]; STRIP] {
    header.as_chunks::<N>().0.first_chunk().unwrap_or(&[[0; N]; STRIP])
}

/// One of each row's words; zeros where there are none. The length is fixed, so that the words are loaded as a vector: a loop that
/// copies them piece by piece makes the vector wait for its pieces.
#[inline(always)]
pub(in super::super) fn words(header: &[u8]) -> [u32; STRIP] {
    let bytes = header.first_chunk::<64>().unwrap_or(&[0; 64]).as_chunks::<4>().0;
    let mut words = [0; STRIP];
    for row in 0..STRIP {
        words[row] = u32::from_le_bytes(bytes[row]);
    }
    words
}

/// The words of each row in `N` vectors; zeros where there are fewer.
#[inline(always)]
pub(in super::super) fn vectors_of_words<const N: usize>(header: &[u8]) -> [[u32; STRIP]; N] {
    let vectors = header.as_chunks::<64>().0.first_chunk().unwrap_or(&[[0; 64]; N]);
    let mut all = [[0; STRIP]; N];
    for (all, vector) in all.iter_mut().zip(vectors) {
        *all = words(vector);
    }
    all
}

/// The lower and the upper f16 of each row's word, as f32.
#[inline(always)]
pub(super) unsafe fn two_halves<L: Lanes>(header: &[u8]) -> [[f32; STRIP]; 2] {
    let words = words(header);
    let (low, high) =
        (each(words, |word| (word as u16).to_le_bytes()), each(words, |word| ((word >> 16) as u16).to_le_bytes()));
    // SAFETY: as this function.
    unsafe { [L::widen(&low), L::widen(&high)] }
}

/// The words of rows `first..first + ROWS`, which are below [`STRIP`].
#[inline(always)]
pub(in super::super) unsafe fn ints<L: Lanes>(words: &[u32; STRIP], first: usize) -> L::Ints {
    // SAFETY: as this function; the rows are inside the array.
    unsafe { L::load_ints(words.as_ptr().add(first)) }
}

/// The floats of rows `first..first + ROWS`, which are below [`STRIP`].
#[inline(always)]
pub(in super::super) unsafe fn floats<L: Lanes>(floats: &[f32; STRIP], first: usize) -> L::Floats {
    // SAFETY: as this function; the rows are inside the array.
    unsafe { L::load_floats(floats.as_ptr().add(first)) }
}

/// Writes the floats of rows `first..first + ROWS`, which are below [`STRIP`].
#[inline(always)]
pub(in super::super) unsafe fn store<L: Lanes>(to: &mut [f32; STRIP], first: usize, floats: L::Floats) {
    // SAFETY: as this function; the rows are inside the array.
    unsafe { L::store_floats(to.as_mut_ptr().add(first), floats) };
}

/// Six bits less 32, exactly, times d.
#[inline(always)]
pub(super) unsafe fn centred<L: Lanes>(d: L::Floats, six: L::Ints) -> L::Floats {
    // SAFETY: as this function.
    unsafe { L::multiply(d, L::fused(L::to_floats(six), L::floats(1.0), L::floats(-32.0))) }
}

/// Odd multiples of d, `d * (2 * step + 1) * factor`, rounded as [`Grid::unit`](crate::formats::Grid::unit) of the IQ formats does.
#[inline(always)]
pub(in super::super) unsafe fn odd<L: Lanes>(d: L::Floats, step: L::Ints, factor: f32) -> L::Floats {
    // SAFETY: as this function; small integers are exact.
    unsafe {
        let multiple = L::fused(L::to_floats(step), L::floats(2.0), L::floats(1.0));
        L::multiply(L::multiply(d, multiple), L::floats(factor))
    }
}
