//! Registers as arrays: the integer kernels in portable Rust.

use crate::cpu::kernels::integer::lanes::{Lanes, Operation};

/// Arrays of 16 rows.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

const ROWS: usize = 16;

impl Lanes for Portable {
    const ROWS: usize = ROWS;
    const COLUMNS: usize = 4;
    const BIASED: bool = false;
    type Bytes = [u8; 64];
    type Ints = [i32; ROWS];
    type Floats = [f32; ROWS];

    unsafe fn enter<O: Operation>(operation: O) {
        // SAFETY: portable code runs everywhere; the operation's own conditions are the caller's.
        unsafe { operation.run::<Self>() };
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> [u8; 64] {
        // SAFETY: 64 readable bytes by the caller.
        unsafe { from.cast::<[u8; 64]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(to: *mut u8, bytes: [u8; 64]) {
        // SAFETY: 64 writable bytes by the caller.
        unsafe { to.cast::<[u8; 64]>().write_unaligned(bytes) };
    }

    #[inline(always)]
    unsafe fn and(bytes: [u8; 64], mask: u8) -> [u8; 64] {
        bytes.map(|byte| byte & mask)
    }

    #[inline(always)]
    unsafe fn xor(bytes: [u8; 64], mask: u8) -> [u8; 64] {
        bytes.map(|byte| byte ^ mask)
    }

    #[inline(always)]
    unsafe fn or_masked(base: [u8; 64], bytes: [u8; 64], mask: u8) -> [u8; 64] {
        std::array::from_fn(|i| base[i] | bytes[i] & mask)
    }

    #[inline(always)]
    unsafe fn shift(bytes: [u8; 64], right: i32) -> [u8; 64] {
        if right < 0 { bytes.map(|byte| byte << -right) } else { bytes.map(|byte| byte >> right) }
    }

    #[inline(always)]
    unsafe fn look_up(table: &[u8; 16], indices: [u8; 64]) -> [u8; 64] {
        indices.map(|index| table[usize::from(index % 16)])
    }

    #[inline(always)]
    unsafe fn ints(value: i32) -> [i32; ROWS] {
        [value; ROWS]
    }

    #[inline(always)]
    unsafe fn start(sums: [i32; ROWS]) -> [i32; ROWS] {
        sums
    }

    #[inline(always)]
    unsafe fn multiply_add(signed: bool, mut products: [i32; ROWS], codes: [u8; 64], x: *const u32) -> [i32; ROWS] {
        // SAFETY: a readable word by the caller.
        let x = unsafe { x.read_unaligned() }.to_ne_bytes().map(|x| i32::from(x as i8));
        for (product, codes) in products.iter_mut().zip(codes.as_chunks::<4>().0) {
            for (&code, x) in codes.iter().zip(x) {
                *product += x * if signed { i32::from(code as i8) } else { i32::from(code) };
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
        // SAFETY: 16 readable floats by the caller.
        unsafe { from.cast::<[f32; ROWS]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store_floats(to: *mut f32, floats: [f32; ROWS]) {
        // SAFETY: 16 writable floats by the caller.
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
