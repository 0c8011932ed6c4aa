//! The points and signs of IQ1, IQ2 and IQ3: what an index stands for.
//!
//! The tables are static and in the form that kernels look up: a point of eight values is a `u64`, one of four a `u32`, the first
//! value in the lowest byte. They are expanded at compile time from the files in `code_books/`, which `goldens/code_books.py` takes
//! from the `gguf` package.

/// What the two bits of a value of IQ2 mean; the fourth pattern does not occur.
pub(crate) const LEVELS_IQ2: [u8; 3] = [8, 25, 43];

/// What the two bits of a value of IQ1 mean: eight times -1, 0 and 1, plus 9. A delta of an eighth adds or subtracts 1.
pub(crate) const LEVELS_IQ1: [u8; 3] = [1, 9, 17];

/// What the four bits of a value of IQ3_XXS mean; the upper half does not occur.
pub(crate) const LEVELS_IQ3_XXS: [u8; 8] = [4, 12, 20, 28, 36, 44, 52, 62];

/// What the four bits of a value of IQ3_S mean; the upper half does not occur.
pub(crate) const LEVELS_IQ3_S: [u8; 8] = [1, 3, 5, 7, 9, 11, 13, 15];

/// Magnitudes 8, 25, 43; 2 KiB.
pub(crate) static IQ2_XXS: [u64; 256] = eights(include_bytes!("code_books/iq2_xxs.bin"), &LEVELS_IQ2);

/// Magnitudes 8, 25, 43; 4 KiB.
pub(crate) static IQ2_XS: [u64; 512] = eights(include_bytes!("code_books/iq2_xs.bin"), &LEVELS_IQ2);

/// Magnitudes 8, 25, 43; 8 KiB.
pub(crate) static IQ2_S: [u64; 1024] = eights(include_bytes!("code_books/iq2_s.bin"), &LEVELS_IQ2);

/// Magnitudes 4 to 62; 1 KiB.
pub(crate) static IQ3_XXS: [u32; 256] = fours(include_bytes!("code_books/iq3_xxs.bin"), &LEVELS_IQ3_XXS);

/// Magnitudes 1 to 15; 2 KiB.
pub(crate) static IQ3_S: [u32; 512] = fours(include_bytes!("code_books/iq3_s.bin"), &LEVELS_IQ3_S);

/// Unsigned codes 1, 9, 17 for the values -1, 0, 1 of IQ1_S and IQ1_M; adding or subtracting [`IQ1_DELTA`] makes the codes of the grid with
/// offset 9. 16 KiB.
pub(crate) static IQ1: [u64; 2048] = eights(include_bytes!("code_books/iq1_s.bin"), &LEVELS_IQ1);

/// The delta of an eighth in every byte of a point of [`IQ1`].
pub(crate) const IQ1_DELTA: u64 = 0x0101_0101_0101_0101;

/// Eight signs from seven bits: bit `i` negates value `i`, and the eighth makes the number of negations even.
pub(crate) static SIGNS: [u8; 128] = {
    let mut signs = [0; 128];
    let mut i = 0;
    while i < 128u8 {
        signs[i as usize] = i | ((i.count_ones() % 2) as u8) << 7;
        i += 1;
    }
    signs
};

/// Eight codes `bias ± magnitude`; bit `i` of `signs` negates value `i`.
pub(super) fn signed(point: u64, signs: u8, bias: i8) -> [i8; 8] {
    let bytes = point.to_le_bytes();
    std::array::from_fn(|i| {
        let magnitude = bytes[i] as i8;
        if signs >> i & 1 == 1 { bias - magnitude } else { bias + magnitude }
    })
}

/// Puts four groups of eight codes together.
pub(super) fn unit(group: impl FnMut(usize) -> [i8; 8]) -> [i8; 32] {
    let groups: [[i8; 8]; 4] = std::array::from_fn(group);
    let mut codes = [0; 32];
    codes.copy_from_slice(groups.as_flattened());
    codes
}

/// Eight values of two bits a point. Panics, at compile time only, on a file of another length or with other patterns.
const fn eights<const N: usize>(packed: &[u8], levels: &[u8]) -> [u64; N] {
    assert!(packed.len() == 2 * N);
    let mut points = [0; N];
    let mut at = 0;
    while at < N {
        let bits = packed[2 * at] as u32 | (packed[2 * at + 1] as u32) << 8;
        let mut i = 0;
        while i < 8 {
            points[at] |= (levels[(bits >> (2 * i) & 3) as usize] as u64) << (8 * i);
            i += 1;
        }
        at += 1;
    }
    points
}

/// Four values of four bits a point, likewise.
const fn fours<const N: usize>(packed: &[u8], levels: &[u8]) -> [u32; N] {
    assert!(packed.len() == 2 * N);
    let mut points = [0; N];
    let mut at = 0;
    while at < N {
        let bits = packed[2 * at] as u32 | (packed[2 * at + 1] as u32) << 8;
        let mut i = 0;
        while i < 4 {
            points[at] |= (levels[(bits >> (4 * i) & 15) as usize] as u32) << (8 * i);
            i += 1;
        }
        at += 1;
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CRC-32 as zlib computes it.
    fn crc(bytes: impl Iterator<Item = u8>) -> u32 {
        !bytes.fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
        })
    }

    /// The sums that `goldens/code_books.py` prints of the tables as the `gguf` package expands them.
    #[test]
    fn every_point_is_that_of_the_gguf_package() {
        let eights = |table: &[u64]| crc(table.iter().flat_map(|point| point.to_le_bytes()));
        let fours = |table: &[u32]| crc(table.iter().flat_map(|point| point.to_le_bytes()));
        assert_eq!(eights(&IQ2_XXS), 0x9924_FF02);
        assert_eq!(eights(&IQ2_XS), 0xFA1E_1BFD);
        assert_eq!(eights(&IQ2_S), 0x25AE_5BF1);
        assert_eq!(fours(&IQ3_XXS), 0x07BA_9ED0);
        assert_eq!(fours(&IQ3_S), 0xF576_E4F3);
        let ternary = |byte: u8| ((byte as i8 - 9) / 8) as u8;
        assert_eq!(crc(IQ1.iter().flat_map(|point| point.to_le_bytes()).map(ternary)), 0xB85E_6CCF);
        assert_eq!(crc(SIGNS.iter().copied()), 0xFFAB_7940);
    }
}
