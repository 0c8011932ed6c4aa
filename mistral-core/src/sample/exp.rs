//! The exponential function from additions, multiplications and bit patterns only.
//!
//! `f64::exp` calls the platform's libm, whose last bit differs between systems; one bit can turn a draw. This one gives
//! the same bits everywhere, because Rust neither reorders nor contracts floating-point arithmetic.
//! Method: Cody and Waite range reduction `x = k ln 2 + r`, `|r| <= ln 2 / 2`, then a Taylor polynomial (Muller,
//! "Elementary Functions", 2016, chapters 3 and 11). Relative error below 1e-13. There is no branch and no conversion
//! to integers, so that a loop over a vocabulary becomes SIMD code on any target.

const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
/// Added to a small number, it leaves the nearest integer in the low bits of the sum.
const TO_NEAREST: f64 = (3u64 << 51) as f64;
/// `1 / n!` from the highest power down.
const TAYLOR: [f64; 11] = [
    1.0 / 39_916_800.0,
    1.0 / 3_628_800.0,
    1.0 / 362_880.0,
    1.0 / 40_320.0,
    1.0 / 5_040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    1.0 / 2.0,
    1.0,
];

/// `e^x` for `x <= 0`; 0 below -700, 1 above 0 (weights are taken relative to the largest).
#[inline]
pub(crate) fn exp_of_negative(x: f64) -> f64 {
    let near = x.clamp(-700.0, 0.0);
    let shifted = near * std::f64::consts::LOG2_E + TO_NEAREST;
    let k = shifted - TO_NEAREST;
    let r = (near - k * LN_2_HIGH) - k * LN_2_LOW;
    let power = TAYLOR.iter().fold(0.0, |sum, c| sum * r + c) * r + 1.0;
    let scale = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
    if x < -700.0 { 0.0 } else { power * scale }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_libm_over_the_range() {
        for i in 0..200_000 {
            let x = -f64::from(i) * 0.003_5;
            let (ours, libm) = (exp_of_negative(x), x.exp());
            assert!((ours - libm).abs() <= 1e-13 * libm, "exp({x}): {ours} against {libm}");
        }
        assert_eq!(exp_of_negative(0.0), 1.0);
        assert_eq!(exp_of_negative(3.0), 1.0);
        assert_eq!(exp_of_negative(-701.0), 0.0);
        assert_eq!(exp_of_negative(f64::NEG_INFINITY), 0.0);
    }
}
