use half::{bf16, f16};

use super::{FloatLanes, LaneKernel};
use crate::cpu::kernels::Kernels;
use crate::testing::instruction_sets;

/// What the portable definition of an operation is, lane by lane.
const ODD: [f32; 12] =
    [0.0, -0.0, 1.0, -1.5, 2.5, 3.5, -1e30, 1e-40, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 2_000_000.5];

fn same(found: f32, expected: f32) -> bool {
    found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan()
}

/// Every operation of two arguments on every pair of odd numbers.
struct Pairs;

impl LaneKernel for Pairs {
    type Output = ();

    #[inline(always)]
    fn run<L: FloatLanes>(self, l: L) {
        for a in ODD {
            for b in ODD {
                let (x, y) = (l.splat(a), l.splat(b));
                let results = [
                    (l.add(x, y), a + b),
                    (l.sub(x, y), a - b),
                    (l.mul(x, y), a * b),
                    (l.div(x, y), a / b),
                    (l.max(x, y), if a > b { a } else { b }),
                    (l.min(x, y), if a < b { a } else { b }),
                    (l.copysign(x, y), a.copysign(b)),
                    (l.abs(x), a.abs()),
                    (l.select(l.less(x, y), x, y), if a < b { a } else { b }),
                ];
                for (i, (found, expected)) in results.into_iter().enumerate() {
                    let mut lanes = [7.0; 16];
                    // SAFETY: no set has more than 16 lanes.
                    unsafe { l.store(lanes.as_mut_ptr(), found) };
                    for &found in &lanes[..L::LANES] {
                        assert!(same(found, expected), "operation {i} of {a} and {b}: {found}, not {expected}");
                    }
                    assert!(lanes[L::LANES..].iter().all(|&lane| lane == 7.0));
                }
                let exact = f64::from(a) * f64::from(b);
                let (sum, difference) = (l.fma(x, y, l.splat(1.0)), l.fnma(x, y, l.splat(1.0)));
                // SAFETY: one lane.
                let (sum, difference) = unsafe {
                    let mut lanes = [0.0; 2];
                    l.store_partial(&mut lanes[0], sum, 1);
                    l.store_partial(&mut lanes[1], difference, 1);
                    (lanes[0], lanes[1])
                };
                for (found, exact) in [(sum, exact + 1.0), (difference, 1.0 - exact)] {
                    let near = (f64::from(found) - exact).abs() <= exact.abs() * 2e-7;
                    assert!(near || same(found, exact as f32), "{a} * {b}: {found}, not {exact}");
                }
            }
        }
        for n in -125..=128 {
            for a in [0.5f32, 0.75, 1.0, 1.9999] {
                let mut lanes = [0.0; 16];
                // SAFETY: as above.
                unsafe { l.store(lanes.as_mut_ptr(), l.times_power(l.splat(a), l.splat(n as f32))) };
                assert_eq!(lanes[0], (f64::from(a) * 2f64.powi(n)) as f32, "{a} * 2^{n}");
            }
        }
        for a in [0.0f32, 0.5, 1.5, -0.5, -2.5, 0.499_999_97, 12345.678, -4_194_303.5, 4_194_303.0] {
            let mut lanes = [0.0; 16];
            // SAFETY: as above.
            unsafe { l.store(lanes.as_mut_ptr(), l.round(l.splat(a))) };
            assert_eq!(lanes[0], a.round_ties_even());
        }
    }
}

#[test]
fn operations_are_those_of_the_portable_lanes() {
    instruction_sets().iter().for_each(|kernels| kernels.run(Pairs));
}

/// Loads and stores of every number of elements at every offset of a cache line, horizontal results included.
struct Memory;

impl LaneKernel for Memory {
    type Output = ();

    #[inline(always)]
    fn run<L: FloatLanes>(self, l: L) {
        let floats: Vec<f32> = (0..48).map(|i| (i * 37 % 48) as f32 - 20.0).collect();
        let halves: Vec<f16> = floats.iter().map(|&x| f16::from_f32(x)).collect();
        let brains: Vec<bf16> = floats.iter().map(|&x| bf16::from_f32(x)).collect();
        let bytes: Vec<i8> = floats.iter().map(|&x| x as i8).collect();
        for offset in 0..16 {
            for count in 0..=L::LANES {
                let expected: Vec<f32> =
                    (0..L::LANES).map(|i| if i < count { floats[offset + i] } else { 0.0 }).collect();
                let whole = count == L::LANES;
                // The slices end where the elements end, so that a sanitiser sees any read behind them.
                let (f, h) = (floats[offset..offset + count].to_vec(), halves[offset..offset + count].to_vec());
                let (b, i) = (brains[offset..offset + count].to_vec(), bytes[offset..offset + count].to_vec());
                // SAFETY: `count` elements, all lanes when whole.
                let partial = unsafe {
                    [
                        l.load_partial(f.as_ptr(), count),
                        l.load_f16_partial(h.as_ptr(), count),
                        l.load_bf16_partial(b.as_ptr(), count),
                        l.load_i8_partial(i.as_ptr(), count),
                    ]
                };
                // SAFETY: likewise.
                let full = whole.then(|| unsafe {
                    [l.load(f.as_ptr()), l.load_f16(h.as_ptr()), l.load_bf16(b.as_ptr()), l.load_i8(i.as_ptr())]
                });
                for (kind, vector) in partial.into_iter().chain(full.into_iter().flatten()).enumerate() {
                    let mut out = vec![9.0; count];
                    let mut all = [0.0; 16];
                    // SAFETY: `count` places, and no set has more than 16 lanes.
                    unsafe {
                        l.store_partial(out.as_mut_ptr(), vector, count);
                        l.store(all.as_mut_ptr(), vector);
                    }
                    assert_eq!(out, expected[..count], "kind {kind}, {count} from {offset}");
                    assert_eq!(all[..L::LANES], expected, "kind {kind}, {count} from {offset}");
                    // SAFETY: as above.
                    unsafe { l.store(all.as_mut_ptr(), l.select(l.first(count), l.splat(1.0), l.splat(2.0))) };
                    assert!((0..L::LANES).all(|i| all[i] == if i < count { 1.0 } else { 2.0 }));
                    assert_eq!(l.sum(vector), expected.iter().sum::<f32>());
                    assert_eq!(l.largest(vector), expected.iter().copied().fold(f32::NEG_INFINITY, f32::max));
                    l.prefetch(out.as_ptr());
                }
            }
        }
        assert_eq!(l.largest(l.splat(f32::NAN)), f32::NEG_INFINITY);
        let mut lanes = [f32::NAN; 16];
        for i in 0..L::LANES {
            lanes.fill(f32::NAN);
            lanes[i] = -3.0;
            // SAFETY: 16 elements.
            assert_eq!(l.largest(unsafe { l.load(lanes.as_ptr()) }), -3.0);
        }
    }
}

#[test]
fn loads_and_stores_touch_what_they_name() {
    instruction_sets().iter().for_each(|kernels| kernels.run(Memory));
}

/// A square of numbers that are all different.
struct Transposed;

impl LaneKernel for Transposed {
    type Output = ();

    #[inline(always)]
    fn run<L: FloatLanes>(self, l: L) {
        let rows: Vec<Vec<f32>> = (0..L::LANES).map(|r| (0..20).map(|i| (100 * r + i) as f32).collect()).collect();
        let pointers: Vec<*const u8> = rows.iter().map(|row| row.as_ptr().cast()).collect();
        for first in 0..=20 - L::LANES {
            // SAFETY: `LANES` words lie behind the first `first` of each row.
            let square = unsafe { l.load_transposed(&pointers, 4 * first) };
            assert_eq!(square.as_ref().len(), L::LANES);
            for (i, &vector) in square.as_ref().iter().enumerate() {
                let mut lanes = [0.0; 16];
                // SAFETY: no set has more than 16 lanes.
                unsafe { l.store(lanes.as_mut_ptr(), vector) };
                for (r, &lane) in lanes.iter().enumerate().take(L::LANES) {
                    assert_eq!(lane, (100 * r + first + i) as f32);
                }
            }
        }
    }
}

#[test]
fn squares_are_transposed() {
    instruction_sets().iter().for_each(|kernels| kernels.run(Transposed));
}

/// All halves of both kinds.
struct Widened;

impl LaneKernel for Widened {
    type Output = ();

    #[inline(always)]
    fn run<L: FloatLanes>(self, l: L) {
        for bits in 0..=u16::MAX {
            let (h, b) = ([f16::from_bits(bits); 16], [bf16::from_bits(bits); 16]);
            let mut found = [[0.0; 16]; 2];
            // SAFETY: 16 elements.
            unsafe {
                let words = [f32::from_bits(u32::from(bits) << 16 | 0x7BFF); 16];
                for (i, high) in
                    [l.high_f16(l.load(words.as_ptr())), l.high_bf16(l.load(words.as_ptr()))].into_iter().enumerate()
                {
                    l.store(found[i].as_mut_ptr(), high);
                }
                assert!(same(found[0][0], h[0].to_f32()) && same(found[1][0], b[0].to_f32()), "{bits:#x}");
                let words = [f32::from_bits(u32::from(bits) | 0x7C01 << 16); 16];
                for (i, low) in
                    [l.low_f16(l.load(words.as_ptr())), l.low_bf16(l.load(words.as_ptr()))].into_iter().enumerate()
                {
                    l.store(found[i].as_mut_ptr(), low);
                }
                assert!(same(found[0][0], h[0].to_f32()) && same(found[1][0], b[0].to_f32()), "{bits:#x}");
                l.store(found[0].as_mut_ptr(), l.load_f16(h.as_ptr()));
                l.store(found[1].as_mut_ptr(), l.load_bf16(b.as_ptr()));
            }
            assert!(same(found[0][0], h[0].to_f32()) && same(found[1][0], b[0].to_f32()), "{bits:#x}");
            assert_eq!(found[0][L::LANES - 1].to_bits(), found[0][0].to_bits());
        }
    }
}

#[test]
fn every_16_bit_number_is_widened() {
    instruction_sets().iter().for_each(|kernels: &Kernels| kernels.run(Widened));
}
