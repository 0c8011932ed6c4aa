//! Code books in registers: 64 indices looked up at once, with AVX-512 VBMI.
//!
//! A point is 16 bits or fewer: the number of each of its eight values among three (2 bits), or of each of its four among eight (2 bits in
//! one byte, the third in another). A book is therefore two tables of bytes, and the two bytes of 64 points are found by `vpermi2b` in
//! every 128 entries and chosen among these by the upper bits of the indices. `vpmultishiftqb` then lays the fields of four
//! columns into the four bytes of each row, a bit of the plane joins them, and one `vpermb` makes codes of them.

#[cfg(target_arch = "x86_64")]
pub(super) use self::x86::{Chunk, IQ1, IQ2_S, IQ2_XS, IQ2_XXS, IQ3_S, IQ3_XXS};

/// Proof that the processor has AVX-512 VBMI, and what the sets with 512-bit registers have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vbmi(());

#[cfg(not(target_arch = "x86_64"))]
impl Vbmi {
    pub(crate) fn detect() -> Option<Self> {
        None
    }

    /// There is no value to call this with.
    pub(super) fn expand<B: super::Book>(
        self,
        _: &[super::Vector],
        _: &[super::Vector],
        _: usize,
        _: &mut super::Panel,
    ) {
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    use super::super::points::{Plane, Points};
    use super::super::{Book, Panel, UNITS, Vector, Words};
    use super::Vbmi;
    use crate::cpu::kernels::integer::lanes::unroll;
    use crate::formats::code_book::{self, LEVELS_IQ1, LEVELS_IQ2, LEVELS_IQ3_S, LEVELS_IQ3_XXS};

    /// 128 points.
    #[derive(Debug, Clone, Copy)]
    #[repr(C, align(64))]
    pub(in super::super) struct Chunk {
        /// Of eight values: the fields of the first four. Of four values: the lower two bits of each.
        first: [Vector; 2],
        /// Of eight values: the fields of the last four. Of four values: the third bits.
        second: [Vector; 2],
    }

    pub(in super::super) static IQ2_XXS: [Chunk; 2] = chunks(&code_book::IQ2_XXS, 8, &LEVELS_IQ2);
    pub(in super::super) static IQ2_XS: [Chunk; 4] = chunks(&code_book::IQ2_XS, 8, &LEVELS_IQ2);
    pub(in super::super) static IQ2_S: [Chunk; 8] = chunks(&code_book::IQ2_S, 8, &LEVELS_IQ2);
    pub(in super::super) static IQ1: [Chunk; 16] = chunks(&code_book::IQ1, 8, &LEVELS_IQ1);
    pub(in super::super) static IQ3_XXS: [Chunk; 2] = chunks(&widened(&code_book::IQ3_XXS), 4, &LEVELS_IQ3_XXS);
    pub(in super::super) static IQ3_S: [Chunk; 4] = chunks(&widened(&code_book::IQ3_S), 4, &LEVELS_IQ3_S);

    const EMPTY: Chunk = Chunk { first: [[0; 64]; 2], second: [[0; 64]; 2] };

    /// The tables of points of as many values each.
    const fn chunks<const N: usize, const CHUNKS: usize>(
        points: &[u64; N],
        values: usize,
        levels: &[u8],
    ) -> [Chunk; CHUNKS] {
        assert!(N == 128 * CHUNKS);
        let mut chunks = [EMPTY; CHUNKS];
        let mut at = 0;
        while at < N {
            let (chunk, half, byte) = (&mut chunks[at / 128], at / 64 % 2, at % 64);
            let point = points[at].to_le_bytes();
            let mut i = 0;
            while i < 4 {
                let here = number(levels, point[i]);
                let second = if values == 8 { number(levels, point[4 + i]) << (2 * i) } else { here >> 2 << i };
                chunk.first[half][byte] |= (here & 3) << (2 * i);
                chunk.second[half][byte] |= second;
                i += 1;
            }
            at += 1;
        }
        chunks
    }

    /// Points of four values as of eight.
    const fn widened<const N: usize>(points: &[u32; N]) -> [u64; N] {
        let mut wide = [0; N];
        let mut i = 0;
        while i < N {
            wide[i] = points[i] as u64;
            i += 1;
        }
        wide
    }

    /// Which of the levels a value is.
    const fn number(levels: &[u8], value: u8) -> u8 {
        let mut i = 0;
        while i < levels.len() {
            if levels[i] == value {
                return i as u8;
            }
            i += 1;
        }
        unreachable!()
    }

    /// Codes by bits 0 and 1 (0 to 2 in points of four) and a bit of the plane; the other bits are of neighbours.
    const fn codes_by(levels: &[u8], plane: Plane, offset: u8, plane_bit: usize) -> Vector {
        let mut codes = [0; 64];
        let mut i = 0;
        while i < 64 {
            let number = if levels.len() > 4 { i % 8 } else { i % 4 };
            if number < levels.len() {
                codes[i] = plane.code(levels[number], i >> plane_bit & 1 == 1, offset);
            }
            i += 1;
        }
        codes
    }

    /// Shifts that bring fields of `bits` bits of byte `k` of each row into its four bytes, `up` bits up.
    const fn shifts(k: usize, bits: usize, up: usize) -> Vector {
        let mut shifts = [0; 64];
        let mut i = 0;
        while i < 64 {
            shifts[i] = ((i % 8 / 4 * 32 + 8 * k + i % 4 * bits + 64 - up) % 64) as u8;
            i += 1;
        }
        shifts
    }

    impl Vbmi {
        pub(crate) fn detect() -> Option<Self> {
            let found = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vbmi");
            found.then_some(Self(()))
        }

        /// Expands units to a panel.
        pub(in super::super) fn expand<B: Book>(
            self,
            header: &[Vector],
            codes: &[Vector],
            units: usize,
            panel: &mut Panel,
        ) {
            // SAFETY: the processor has the features, as this value proves.
            unsafe { expand::<B>(header, codes, units, panel) };
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi")]
    #[inline(never)]
    fn expand<B: Book>(header: &[Vector], codes: &[Vector], units: usize, panel: &mut Panel) {
        // Bit 4 takes the plane's bit for the even ones of the 8 vectors of a unit, bit 5 for the odd ones.
        let tables = [
            load(const { &codes_by(B::Points::LEVELS, B::Points::PLANE, offset_of::<B>(), 4) }),
            load(const { &codes_by(B::Points::LEVELS, B::Points::PLANE, offset_of::<B>(), 5) }),
        ];
        let plane_masks = [_mm512_set1_epi8(0x10), _mm512_set1_epi8(0x20)];
        let third_mask = _mm512_set1_epi8(4);
        for (u, unit) in panel.as_chunks_mut::<8>().0.iter_mut().enumerate().take(units.min(UNITS)) {
            let fields = B::fields(header, codes, u);
            let plane = load_words(&fields.plane);
            let planes =
                [_mm512_slli_epi16::<4>(plane), _mm512_slli_epi16::<2>(plane), plane, _mm512_srli_epi16::<2>(plane)];
            for v in 0..8 / B::Points::VALUES {
                let [first, second] = look_up::<B::Points>(load_words(&fields.low[v]), load_words(&fields.high[v]));
                unroll!(K in [0 1 2 3] {
                    let pairs = load(const { &shifts(K, 2, 0) });
                    if B::Points::VALUES == 8 {
                        for (odd, fields) in [first, second].into_iter().enumerate() {
                            let index = _mm512_multishift_epi64_epi8(pairs, fields);
                            let index = select(plane_masks[odd], planes[K], index);
                            store(&mut unit[2 * K + odd], _mm512_permutexvar_epi8(index, tables[odd]));
                        }
                    } else {
                        let g = 4 * v + K;
                        let index = _mm512_multishift_epi64_epi8(pairs, first);
                        let third = _mm512_multishift_epi64_epi8(load(const { &shifts(K, 1, 2) }), second);
                        let index = select(third_mask, third, index);
                        let index = select(plane_masks[K % 2], planes[g / 2], index);
                        store(&mut unit[g], _mm512_permutexvar_epi8(index, tables[K % 2]));
                    }
                });
            }
        }
    }

    const fn offset_of<B: Book>() -> u8 {
        B::STORED_OFFSET as u8
    }

    /// The two bytes of 64 points.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi")]
    #[inline]
    fn look_up<P: Points>(low: __m512i, high: __m512i) -> [__m512i; 2] {
        // Bits 7 to 10.
        let bits = [
            _mm512_movepi8_mask(low),
            _mm512_test_epi8_mask(high, _mm512_set1_epi8(1)),
            _mm512_test_epi8_mask(high, _mm512_set1_epi8(2)),
            _mm512_test_epi8_mask(high, _mm512_set1_epi8(4)),
        ];
        // Large tables must not be loaded ahead of the loop over units, for which there are not the registers.
        let chunks = if P::COUNT > 512 { black_box(P::chunks().as_ptr()) } else { P::chunks().as_ptr() };
        // At place `l` what is found in `2^l` chunks that wait for the next as many.
        let mut found = [[low; 2]; 5];
        unroll!(N in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] {
            if 128 * N < P::COUNT {
                // SAFETY: there is a chunk for every 128 points.
                let Chunk { first, second } = unsafe { &*chunks.wrapping_add(N) };
                let mut here = [
                    _mm512_permutex2var_epi8(load(&first[0]), low, load(&first[1])),
                    _mm512_permutex2var_epi8(load(&second[0]), low, load(&second[1])),
                ];
                let mut level = 0;
                while N >> level & 1 == 1 {
                    for i in 0..2 {
                        here[i] = _mm512_mask_blend_epi8(bits[level], found[level][i], here[i]);
                    }
                    level += 1;
                }
                found[level] = here;
            }
        });
        found[(P::COUNT / 128).trailing_zeros() as usize]
    }

    /// `a` where the mask has bits, else `b`.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn select(mask: __m512i, a: __m512i, b: __m512i) -> __m512i {
        _mm512_ternarylogic_epi64::<0xCA>(mask, a, b)
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn load(vector: &Vector) -> __m512i {
        // SAFETY: 64 readable bytes.
        unsafe { _mm512_loadu_si512(vector.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn load_words(words: &Words) -> __m512i {
        // SAFETY: 64 readable bytes.
        unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn store(to: &mut Vector, vector: __m512i) {
        // SAFETY: 64 writable bytes.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), vector) };
    }
}
