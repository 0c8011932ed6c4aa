//! The exponential function from additions, multiplications and bit patterns only.
//!
//! `f64::exp` calls the platform's libm, whose last bit differs between systems; one bit can turn a draw. This one gives
//! the same bits everywhere, because Rust neither reorders nor contracts floating-point arithmetic.
//! Method: Cody and Waite range reduction `x = k ln 2 + r`, `|r| <= ln 2 / 2`, then a Taylor polynomial (Muller,
//! "Elementary Functions", 2016, chapters 3 and 11). Relative error below 2e-15.

const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// `e^x` for `x <= 0`; 0 below -700, 1 above 0 (weights are taken relative to the largest).
#[inline]
pub(crate) fn exp_of_negative(x: f64) -> f64 {
    if x < -700.0 {
        return 0.0;
    }
    let x = x.min(0.0);
    let k = (x * std::f64::consts::LOG2_E - 0.5) as i64; // truncation towards zero of a negative number rounds to nearest
    let r = (x - k as f64 * LN_2_HIGH) - k as f64 * LN_2_LOW;
    let mut sum = 1.0;
    for i in (1..=13u32).rev() {
        sum = 1.0 + sum * r * INVERSE[i as usize];
    }
    sum * f64::from_bits(((k + 1023) as u64) << 52)
}

/// `1 / i`, so that the loop multiplies.
const INVERSE: [f64; 14] = [
    0.0,
    1.0,
    1.0 / 2.0,
    1.0 / 3.0,
    1.0 / 4.0,
    1.0 / 5.0,
    1.0 / 6.0,
    1.0 / 7.0,
    1.0 / 8.0,
    1.0 / 9.0,
    1.0 / 10.0,
    1.0 / 11.0,
    1.0 / 12.0,
    1.0 / 13.0,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_libm_over_the_range() {
        for i in 0..200_000 {
            let x = -f64::from(i) * 0.003_5;
            let (ours, libm) = (exp_of_negative(x), x.exp());
            assert!((ours - libm).abs() <= 2e-15 * libm, "exp({x}): {ours} against {libm}");
        }
        assert_eq!(exp_of_negative(0.0), 1.0);
        assert_eq!(exp_of_negative(3.0), 1.0);
        assert_eq!(exp_of_negative(-701.0), 0.0);
        assert_eq!(exp_of_negative(f64::NEG_INFINITY), 0.0);
    }
}
