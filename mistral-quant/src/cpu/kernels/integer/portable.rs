//! Registers as arrays: the integer kernels in portable Rust.

use super::codes::{Codes, Expanded};
use super::lanes::{Lanes, Operation};

/// Arrays of 4 rows: what any 128-bit registers take.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

const ROWS: usize = 4;

impl Lanes for Portable {
    const ROWS: usize = ROWS;
    const REGISTERS: usize = 1;
    const COLUMNS: usize = 4;
    const BIASED: bool = false;
    const DIRECT: bool = false;
    type Few<C: Codes> = Expanded<15>;
    type Many<C: Codes> = Expanded<15>;
    type Moves = Self;
    type Bytes = [u8; 4 * ROWS];
    type Ints = [i32; ROWS];
    type Floats = [f32; ROWS];

    #[inline(never)]
    unsafe fn enter<O: Operation>(operation: O) {
        // SAFETY: portable code runs everywhere; the operation's own conditions are the caller's.
        unsafe { operation.run::<Self>() };
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> [u8; 4 * ROWS] {
        // SAFETY: 16 readable bytes by the caller.
        unsafe { from.cast::<[u8; 4 * ROWS]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(to: *mut u8, bytes: [u8; 4 * ROWS]) {
        // SAFETY: 16 writable bytes by the caller.
        unsafe { to.cast::<[u8; 4 * ROWS]>().write_unaligned(bytes) };
    }

    #[inline(always)]
    unsafe fn and(bytes: [u8; 4 * ROWS], mask: u8) -> [u8; 4 * ROWS] {
        bytes.map(|byte| byte & mask)
    }

    #[inline(always)]
    unsafe fn xor(bytes: [u8; 4 * ROWS], mask: u8) -> [u8; 4 * ROWS] {
        bytes.map(|byte| byte ^ mask)
    }

    #[inline(always)]
    unsafe fn or_masked(base: [u8; 4 * ROWS], bytes: [u8; 4 * ROWS], mask: u8) -> [u8; 4 * ROWS] {
        std::array::from_fn(|i| base[i] | bytes[i] & mask)
    }

    #[inline(always)]
    unsafe fn shift(bytes: [u8; 4 * ROWS], right: i32) -> [u8; 4 * ROWS] {
        if right < 0 { bytes.map(|byte| byte << -right) } else { bytes.map(|byte| byte >> right) }
    }

    #[inline(always)]
    unsafe fn look_up(table: &[u8; 16], indices: [u8; 4 * ROWS]) -> [u8; 4 * ROWS] {
        indices.map(|index| table[usize::from(index % 16)])
    }

    #[inline(always)]
    unsafe fn plus(bytes: [u8; 4 * ROWS], value: u8) -> [u8; 4 * ROWS] {
        bytes.map(|byte| byte.wrapping_add(value))
    }

    #[inline(always)]
    unsafe fn minus(a: [u8; 4 * ROWS], b: [u8; 4 * ROWS]) -> [u8; 4 * ROWS] {
        std::array::from_fn(|i| a[i].wrapping_sub(b[i]))
    }

    #[inline(always)]
    unsafe fn negate(bytes: [u8; 4 * ROWS], plane: [u8; 4 * ROWS], bit: usize) -> [u8; 4 * ROWS] {
        std::array::from_fn(|i| if plane[i] >> bit & 1 == 1 { bytes[i].wrapping_neg() } else { bytes[i] })
    }

    #[inline(always)]
    unsafe fn ints(value: i32) -> [i32; ROWS] {
        [value; ROWS]
    }

    #[inline(always)]
    unsafe fn load_ints(from: *const u32) -> [i32; ROWS] {
        // SAFETY: 4 readable words by the caller.
        unsafe { from.cast::<[i32; ROWS]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn bits(words: [i32; ROWS], from: u32, width: u32) -> [i32; ROWS] {
        words.map(|word| word >> from & ((1 << width) - 1))
    }

    #[inline(always)]
    unsafe fn signed_byte(words: [i32; ROWS], byte: u32) -> [i32; ROWS] {
        words.map(|word| word << (24 - 8 * byte) >> 24)
    }

    #[inline(always)]
    unsafe fn or_shifted(low: [i32; ROWS], high: [i32; ROWS], by: u32) -> [i32; ROWS] {
        std::array::from_fn(|i| low[i] | high[i] << by)
    }

    #[inline(always)]
    unsafe fn from_bits(bits: [i32; ROWS]) -> [f32; ROWS] {
        bits.map(|bits| f32::from_bits(bits as u32))
    }

    #[inline(always)]
    unsafe fn start(sums: [i32; ROWS]) -> [i32; ROWS] {
        sums
    }

    #[inline(always)]
    unsafe fn multiply_add(_: bool, mut products: [i32; ROWS], codes: [u8; 4 * ROWS], x: *const u32) -> [i32; ROWS] {
        // SAFETY: a readable word by the caller.
        let x = unsafe { x.read_unaligned() }.to_ne_bytes().map(|x| i32::from(x as i8));
        for (product, codes) in products.iter_mut().zip(codes.as_chunks::<4>().0) {
            // Wrapping only spares the checks: four products are below 2^18, and a unit has eight times as many.
            for (&code, x) in codes.iter().zip(x) {
                *product = product.wrapping_add(x.wrapping_mul(i32::from(code as i8)));
            }
        }
        products
    }

    #[inline(always)]
    unsafe fn finish(_: [i32; ROWS], products: [i32; ROWS]) -> [i32; ROWS] {
        products
    }

    #[inline(always)]
    unsafe fn floats(value: f32) -> [f32; ROWS] {
        [value; ROWS]
    }

    #[inline(always)]
    unsafe fn load_floats(from: *const f32) -> [f32; ROWS] {
        // SAFETY: 4 readable floats by the caller.
        unsafe { from.cast::<[f32; ROWS]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store_floats(to: *mut f32, floats: [f32; ROWS]) {
        // SAFETY: 4 writable floats by the caller.
        unsafe { to.cast::<[f32; ROWS]>().write_unaligned(floats) };
    }

    #[inline(always)]
    unsafe fn to_floats(ints: [i32; ROWS]) -> [f32; ROWS] {
        ints.map(|int| int as f32)
    }

    #[inline(always)]
    unsafe fn multiply(a: [f32; ROWS], b: [f32; ROWS]) -> [f32; ROWS] {
        std::array::from_fn(|i| a[i] * b[i])
    }

    // Rounded twice: without the instruction a fused product costs a call.
    #[inline(always)]
    unsafe fn fused(a: [f32; ROWS], b: [f32; ROWS], c: [f32; ROWS]) -> [f32; ROWS] {
        std::array::from_fn(|i| c[i] + a[i] * b[i])
    }

    #[inline(always)]
    unsafe fn fused_less(a: [f32; ROWS], b: [f32; ROWS], c: [f32; ROWS]) -> [f32; ROWS] {
        std::array::from_fn(|i| c[i] - a[i] * b[i])
    }
}
