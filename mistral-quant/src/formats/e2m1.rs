//! E2M1, the 4-bit floats of MXFP4 and NVFP4: sign, two bits of exponent, one of mantissa.

/// Twice the values: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives. The factor belongs to the scales.
pub(crate) const VALUES: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// What makes unsigned codes of the values, so that kernels can sum several products in 16 bits.
pub(crate) const BIAS: i8 = 12;

/// [`VALUES`] plus [`BIAS`].
pub(crate) const CODES: [i8; 16] = {
    let mut codes = [0; 16];
    let mut i = 0;
    while i < 16 {
        codes[i] = VALUES[i] + BIAS;
        i += 1;
    }
    codes
};

/// The index of the doubled value nearest to `x`; zero is positive.
pub(super) fn index(x: f64) -> u8 {
    /// By the floor of `2 |x|`: the middles between values are multiples of a half.
    const NEAREST: [u8; 21] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 6, 6, 7];
    let magnitude = NEAREST[((2.0 * x.abs()) as usize).min(20)];
    if x < 0.0 && magnitude > 0 { magnitude | 8 } else { magnitude }
}

/// The doubled value of an index.
pub(super) fn value(index: u8) -> f64 {
    f64::from(VALUES[usize::from(index) % 16])
}

/// `Σ cost * error²` of weights on the grid `scale * value`.
pub(super) fn error(x: &[f32], costs: &[f64], scale: f64) -> f64 {
    let one = |(&x, cost): (&f32, &f64)| {
        let x = f64::from(x);
        cost * (scale * value(index(x / scale)) - x).powi(2)
    };
    x.iter().zip(costs).map(one).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_value_is_found() {
        for step in -1300..=1300 {
            let x = f64::from(step) / 100.0;
            let least = VALUES.iter().map(|&v| (f64::from(v) - x).abs()).fold(f64::MAX, f64::min);
            assert_eq!((value(index(x)) - x).abs(), least, "{x}");
        }
        assert_eq!(index(f64::NAN), 0);
    }
}
