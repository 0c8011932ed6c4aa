//! Widens and transposes some columns of a strip.

use super::{BLOCK, DECODED, DenseStrip, MAX_ROWS, Panel};
use crate::cpu::kernels::lanes::FloatLanes;
use crate::format::Format;
use crate::formats::decode_row;

/// How many numbers lie in a word of 4 bytes, and which.
pub(super) trait Words {
    const COUNT: usize;
    /// How many elements of a panel a word becomes: its numbers, widened, or the word itself.
    const ELEMENTS: usize = Self::COUNT;

    /// Element `index` of each word. Must be `#[inline(always)]`.
    fn element<L: FloatLanes>(lanes: L, words: L::Vector, index: usize) -> L::Vector;

    /// `total` and the products of elements with an element of packed activations. Must be `#[inline(always)]`.
    #[inline(always)]
    fn multiply<L: FloatLanes>(lanes: L, elements: L::Vector, x: L::Vector, total: L::Vector) -> L::Vector {
        lanes.fma(elements, x, total)
    }
}

/// One f32 a word.
pub(super) struct Singles;

impl Words for Singles {
    const COUNT: usize = 1;

    #[inline(always)]
    fn element<L: FloatLanes>(_: L, words: L::Vector, _: usize) -> L::Vector {
        words
    }
}

/// Two f16 a word.
pub(super) struct Halves;

impl Words for Halves {
    const COUNT: usize = 2;

    #[inline(always)]
    fn element<L: FloatLanes>(lanes: L, words: L::Vector, index: usize) -> L::Vector {
        if index == 0 { lanes.low_f16(words) } else { lanes.high_f16(words) }
    }
}

/// Two bf16 a word.
pub(super) struct Brains;

impl Words for Brains {
    const COUNT: usize = 2;

    #[inline(always)]
    fn element<L: FloatLanes>(lanes: L, words: L::Vector, index: usize) -> L::Vector {
        if index == 0 { lanes.low_bf16(words) } else { lanes.high_bf16(words) }
    }
}

/// Two bf16 a word, multiplied as they are.
pub(super) struct BrainPairs;

impl Words for BrainPairs {
    const COUNT: usize = 2;
    const ELEMENTS: usize = 1;

    #[inline(always)]
    fn element<L: FloatLanes>(_: L, words: L::Vector, _: usize) -> L::Vector {
        words
    }

    #[inline(always)]
    fn multiply<L: FloatLanes>(lanes: L, elements: L::Vector, x: L::Vector, total: L::Vector) -> L::Vector {
        lanes.dot_bf16(elements, x, total)
    }
}

/// Columns `first..first + count`, pairs of columns with `PAIRS`, of all rows, `[count, rows]`; rows that the strip lacks are its last one again. The panels of a
/// strip are made in order: what is decoded for one is there for the next.
#[inline(always)]
pub(super) fn fill<'p, L: FloatLanes, const PAIRS: bool>(
    lanes: L,
    strip: &DenseStrip<'_>,
    first: usize,
    count: usize,
    panel: &'p mut Panel,
) -> &'p [f32] {
    let rows = 2 * L::LANES;
    const { assert!(DECODED.is_multiple_of(BLOCK)) };
    let Panel { values, start, decoded } = panel;
    let out = &mut values[*start..*start + BLOCK * rows];
    if PAIRS {
        words::<L, BrainPairs>(lanes, strip, 2 * first, (2 * count).min(strip.cols - 2 * first), out);
        return &out[..count * rows];
    }
    // The words of a file are little-endian.
    let format = if cfg!(target_endian = "little") { strip.format } else { Format::Q8_0 };
    match format {
        Format::F32 => words::<L, Singles>(lanes, strip, first, count, out),
        Format::F16 => words::<L, Halves>(lanes, strip, first, count, out),
        Format::BF16 => words::<L, Brains>(lanes, strip, first, count, out),
        _ => {
            decoded.resize(MAX_ROWS * DECODED, 0.0);
            if first.is_multiple_of(DECODED) {
                decode(strip, first, DECODED.min(strip.cols - first), rows, decoded);
            }
            let start = decoded.as_ptr().wrapping_add(first % DECODED);
            let mut pointers = [start.cast(); MAX_ROWS];
            for (row, pointer) in pointers.iter_mut().enumerate() {
                *pointer = start.wrapping_add(row * DECODED).cast();
            }
            // SAFETY: `count` floats lie behind each pointer: `decoded` was made long enough, and panels do not cross its parts.
            unsafe { transpose::<L, Singles>(lanes, &pointers, 0, count, out) };
        }
    }
    &out[..count * rows]
}

/// Rows as f32 `[rows, DECODED]`, by the decoder of the format.
fn decode(strip: &DenseStrip<'_>, first: usize, count: usize, rows: usize, out: &mut [f32]) {
    let present = strip.bytes.len() / strip.row_bytes;
    let (per_block, block_bytes) = (strip.format.block_weights(), strip.format.block_bytes());
    let bytes = first / per_block * block_bytes..(first + count).div_ceil(per_block) * block_bytes;
    for (row, out) in out.chunks_exact_mut(DECODED).enumerate().take(rows) {
        let start = row.min(present - 1) * strip.row_bytes;
        let row = strip.bytes.get(start + bytes.start..start + bytes.end).unwrap_or_default();
        if decode_row(strip.format, row, &mut out[..count]).is_err() {
            debug_assert!(false, "{} was checked to be computable", strip.format);
            out.fill(0.0);
        }
    }
}

/// [`fill`] for numbers that are whole parts of a word.
#[inline(always)]
fn words<L: FloatLanes, W: Words>(lanes: L, strip: &DenseStrip<'_>, first: usize, count: usize, out: &mut [f32]) {
    if let Some((rows, ahead)) = rows_of::<L, W>(strip, first, count) {
        // SAFETY: `count` numbers are readable behind each pointer.
        unsafe { transpose::<L, W>(lanes, &rows, ahead, count, out) };
    }
}

/// Number `first` of each row, behind which `count` numbers are readable, and how many bytes further lies what is needed next:
/// the next columns of these rows, or the first of the next strip, where there may be nothing. Rows that the strip lacks are its
/// last one.
#[inline(always)]
pub(super) fn rows_of<L: FloatLanes, W: Words>(
    strip: &DenseStrip<'_>,
    first: usize,
    count: usize,
) -> Option<([*const u8; MAX_ROWS], usize)> {
    let size = 4 / W::COUNT;
    let present = (strip.bytes.len() / strip.row_bytes).min(2 * L::LANES);
    if strip.row_bytes != strip.cols * size || first + count > strip.cols || present == 0 {
        debug_assert!(false, "{} bytes for {} columns", strip.row_bytes, strip.cols);
        return None;
    }
    let mut rows = [strip.bytes.as_ptr(); MAX_ROWS];
    for (row, pointer) in rows.iter_mut().enumerate() {
        *pointer = strip.bytes.as_ptr().wrapping_add(row.min(present - 1) * strip.row_bytes + first * size);
    }
    let next = if first + count < strip.cols { count * size } else { 2 * L::LANES * strip.row_bytes - first * size };
    Some((rows, next))
}

/// Transposes `count` columns into `out` `[count, rows]`, asking for what lies `ahead` bytes behind each row.
///
/// # Safety
/// `count` numbers, at most [`BLOCK`] elements, must be readable behind each of the first `2 * LANES` pointers.
#[inline(always)]
unsafe fn transpose<L: FloatLanes, W: Words>(
    lanes: L,
    rows: &[*const u8; MAX_ROWS],
    ahead: usize,
    count: usize,
    out: &mut [f32],
) {
    let height = 2 * L::LANES;
    let step = L::LANES * W::COUNT;
    let whole = count - count % step;
    // Numbers of a row that become an element of the panel.
    let unit = W::COUNT / W::ELEMENTS;
    debug_assert!(out.len() >= count.next_multiple_of(step) / unit * height && BLOCK.is_multiple_of(step));
    for half in 0..2 {
        let rows = &rows[half * L::LANES..(half + 1) * L::LANES];
        for column in (0..whole).step_by(step) {
            let offset = column * 4 / W::COUNT;
            if ahead > 0 && offset.is_multiple_of(64) {
                rows.iter().for_each(|row| lanes.prefetch(row.wrapping_add(ahead + offset)));
            }
            // SAFETY: `step` numbers from `column` are readable behind each pointer, and `out` has room for them.
            unsafe {
                let square = lanes.load_transposed(rows, offset);
                write::<L, W>(lanes, square, out.as_mut_ptr().add(column / unit * height + half * L::LANES));
            }
        }
        if whole < count {
            // SAFETY: the last numbers are readable, and `out` has room for a whole step from here, as `BLOCK` has whole ones.
            unsafe {
                let square = last_words::<L, W>(lanes, rows, whole, count);
                write::<L, W>(lanes, square, out.as_mut_ptr().add(whole / unit * height + half * L::LANES));
            }
        }
    }
}

/// The numbers `whole..count` of each row, fewer than a square of words holds, then zeros.
///
/// # Safety
/// They must be readable behind each of `LANES` pointers.
#[inline(always)]
pub(super) unsafe fn last_words<L: FloatLanes, W: Words>(
    lanes: L,
    rows: &[*const u8],
    whole: usize,
    count: usize,
) -> L::Square {
    let bytes = (count - whole) * 4 / W::COUNT;
    let mut last = [[0u8; 64]; 16];
    let mut pointers = [last[0].as_ptr(); 16];
    for ((last, row), pointer) in last.iter_mut().zip(rows).zip(&mut pointers) {
        // SAFETY: the last numbers of the row are readable, and fewer than the 64 bytes of 16 words.
        unsafe { row.add(whole * 4 / W::COUNT).copy_to_nonoverlapping(last.as_mut_ptr(), bytes) };
        *pointer = last.as_ptr();
    }
    // SAFETY: 64 bytes lie behind each pointer.
    unsafe { lanes.load_transposed(&pointers, 0) }
}

/// Writes the elements of a square of words, one vector a column or a pair of columns.
///
/// # Safety
/// `LANES * W::ELEMENTS` vectors of `2 * LANES` must be writable from `out`.
#[inline(always)]
unsafe fn write<L: FloatLanes, W: Words>(lanes: L, square: L::Square, out: *mut f32) {
    for (i, &words) in square.as_ref().iter().enumerate() {
        for index in 0..W::ELEMENTS {
            // SAFETY: as this function demands.
            unsafe {
                lanes.store(out.add((i * W::ELEMENTS + index) * 2 * L::LANES), W::element(lanes, words, index));
            }
        }
    }
}
