//! How keys and values are kept in a cache, and what they are rounded to.

use half::{bf16, f16};

/// The element type in which keys or values are cached. A head is rounded when it is appended; arithmetic on what is stored is f32.
///
/// | format | bytes a head of `dim` | relative error of an element | largest |
/// |---|---|---|---|
/// | `F32` | `4 dim` | 0 | 3.4e38 |
/// | `F16` | `2 dim` | 2^-11 (absolute below 6.1e-5: 3e-8) | 65504, infinite above |
/// | `Bf16` | `2 dim` | 2^-8 | 3.4e38 |
/// | `Q8_0` | `dim + 2 ceil(dim / 32)` | 1/254 of the largest of its 32 | 8.3e6, NaN above |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum KvFormat {
    /// 4 bytes an element, exact.
    F32,
    /// 2 bytes an element, rounded to nearest even: the usual choice.
    #[default]
    F16,
    /// 2 bytes an element, rounded to nearest even: the range of f32 with 8 bits of precision.
    Bf16,
    /// Units of 32 consecutive elements of a head: an i8 each, and an f16 scale for all. A head whose width is no multiple of 32 ends with a
    /// shorter unit; nothing is padded. The scale is the largest magnitude / 127, rounded to f16; codes are `x / scale` rounded to
    /// nearest even. A unit with a NaN, an infinity or a magnitude above 127 * 65504 becomes NaN as a whole.
    Q8_0,
}

/// Elements that share a scale in [`KvFormat::Q8_0`].
pub(crate) const KV_UNIT: usize = 32;

impl KvFormat {
    /// All formats.
    pub const ALL: [KvFormat; 4] = [KvFormat::F32, KvFormat::F16, KvFormat::Bf16, KvFormat::Q8_0];

    /// Bytes of one head of `dim` elements; `None` where that cannot be addressed.
    ///
    /// ```
    /// use mistral_quant::KvFormat;
    /// assert_eq!(KvFormat::F16.head_bytes(128), Some(256));
    /// assert_eq!(KvFormat::Q8_0.head_bytes(128), Some(136));
    /// assert_eq!(KvFormat::Q8_0.head_bytes(33), Some(37));
    /// ```
    pub fn head_bytes(self, dim: usize) -> Option<usize> {
        match self {
            Self::F32 => dim.checked_mul(4),
            Self::F16 | Self::Bf16 => dim.checked_mul(2),
            Self::Q8_0 => dim.checked_add(dim.div_ceil(KV_UNIT).checked_mul(2)?),
        }
    }

    /// Rounds one head to what the format holds.
    pub(crate) fn round(self, head: &mut [f32]) {
        match self {
            Self::F32 => {}
            Self::F16 => head.iter_mut().for_each(|x| *x = f16::from_f32(*x).to_f32()),
            Self::Bf16 => head.iter_mut().for_each(|x| *x = bf16::from_f32(*x).to_f32()),
            Self::Q8_0 => {
                for unit in head.chunks_mut(KV_UNIT) {
                    let mut codes = [0; KV_UNIT];
                    let scale = encode_unit(unit, &mut codes).to_f32();
                    unit.iter_mut().zip(codes).for_each(|(x, code)| *x = scale * f32::from(code));
                }
            }
        }
    }
}

/// Codes of up to 32 elements, and their scale.
pub(crate) fn encode_unit(unit: &[f32], codes: &mut [i8]) -> f16 {
    // What is added to round to the nearest integer, ties to even; the integer is then found in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // The product is NaN where an element is not finite, and 0 otherwise.
    let strange: f32 = unit.iter().map(|x| x * 0.0).sum();
    let largest = unit.iter().fold(0.0f32, |largest, x| largest.max(x.abs())) + strange;
    let scale = f16::from_f32(largest / 127.0);
    if !scale.is_finite() {
        codes.fill(0);
        return f16::NAN;
    }
    // A scale that was rounded down (far down where f16 is subnormal) would make codes above 127.
    let inverse = if scale.to_f32() > 0.0 { 1.0 / scale.to_f32() } else { 0.0 };
    for (code, x) in codes.iter_mut().zip(unit) {
        *code = ((x * inverse).clamp(-127.0, 127.0) + ROUND).to_bits() as i8;
    }
    scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::tests::Random;

    #[test]
    fn q8_0_keeps_half_a_step_and_spoils_only_its_unit() {
        let mut random = Random::new(5);
        for dim in 1..=131 {
            for size in [1.0f32, 1e-2, 3e4] {
                let head: Vec<f32> = random.values(dim).iter().map(|x| x * size).collect();
                let mut rounded = head.clone();
                KvFormat::Q8_0.round(&mut rounded);
                for (unit, rounded) in head.chunks(KV_UNIT).zip(rounded.chunks(KV_UNIT)) {
                    let largest = unit.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
                    // Half a step, and the rounding of the scale at its largest multiple.
                    let allowed = largest / 127.0 * 0.5 * 1.001 + largest * 4.9e-4 + 127.0 * 3e-8;
                    for (x, y) in unit.iter().zip(rounded) {
                        assert!((x - y).abs() <= allowed, "{x} became {y}, largest {largest}");
                    }
                }
            }
        }
        for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
            let mut head = [1.0f32; 80];
            head[40] = poison;
            KvFormat::Q8_0.round(&mut head);
            assert!(head[32..64].iter().all(|x| x.is_nan()));
            assert!(head[..32].iter().chain(&head[64..]).all(|x| (x - 1.0).abs() < 1e-3));
        }
        let mut tiny = [1e-9f32; 32];
        KvFormat::Q8_0.round(&mut tiny);
        assert_eq!(tiny, [0.0; 32]);
    }

    #[test]
    fn codes_round_to_nearest_even() {
        let mut unit = [0.0f32; 32];
        unit[0] = 127.0;
        unit[1..9].copy_from_slice(&[0.5, 1.5, -0.5, -1.5, 2.49, -126.5, 0.51, -3.7]);
        let mut codes = [0; 32];
        assert_eq!(encode_unit(&unit, &mut codes), f16::ONE);
        assert_eq!(codes[..9], [127, 0, 2, 0, -2, 2, -126, 1, -4]);
    }

    #[test]
    fn what_a_format_holds_stays_as_it_is() {
        let mut random = Random::new(6);
        for format in KvFormat::ALL {
            let mut head = random.values(100);
            format.round(&mut head);
            let once = head.clone();
            format.round(&mut head);
            if format != KvFormat::Q8_0 {
                assert_eq!(head, once, "{format:?}");
            }
            let bytes = format.head_bytes(100).unwrap();
            assert_eq!(bytes, [400, 200, 200, 108][KvFormat::ALL.iter().position(|&f| f == format).unwrap()]);
            assert!(format.head_bytes(usize::MAX).is_none());
        }
    }
}
