//! Weights drawn from a named hash: whole models without a file, the same on every machine.

use std::collections::HashMap;

use mistral_quant::{Format, SharedBytes};

use crate::error::Error;
use crate::loader::weights::{RawTensor, TensorType, Weights};
use crate::unsupported::Unsupported;

/// One tensor of [`RandomWeights`].
#[derive(Debug, Clone, PartialEq)]
pub struct RandomTensor {
    /// Its name, which seeds its values.
    pub name: String,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Any format that this version can encode.
    pub format: Format,
    /// Middle of the values: 1 for most norms, 0 else.
    pub mean: f32,
    /// Values lie in `[mean - scale, mean + scale)`, all equally likely.
    pub scale: f32,
}

impl RandomTensor {
    /// The length of a row: the last dimension, 1 for a scalar.
    fn cols(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }
}

/// Seeded random weights that implement [`Weights`]: for goldens, benchmarks and tests that must not need a download.
///
/// The definition is public and will not change, so that other programs can compute the same numbers. All arithmetic of
/// hashes is modulo 2^64:
///
/// ```text
/// fnv(name) = FNV-1a over the bytes of the name: h = 0xcbf29ce484222325; for each byte: h = (h ^ byte) * 0x100000001b3
/// mix(z)    = SplitMix64's finaliser: z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9; z = (z ^ z >> 27) * 0x94d049bb133111eb;
///             z ^ z >> 31
/// z(i)      = mix(fnv(name) + seed * 0xd1342543de82ef95 + (i + 1) * 0x9e3779b97f4a7c15)
///             i: index of the element, row-major
/// unit(i)   = (z(i) >> 40) / 2^23 - 1               exact in f32, in [-1, 1)
/// value(i)  = mean + scale * unit(i)                product and sum each rounded to f32
/// ```
///
/// The values are then encoded in the tensor's format by [`mistral_quant::encode_row_with`], all columns alike; F16 and BF16
/// round to nearest even. Sources: Fowler, Noll and Vo's hash; Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
/// OOPSLA 2014. Each [`Weights::get`] computes its tensor anew: about 1 ns an element, and the time of the encoder.
#[derive(Debug, Clone)]
pub struct RandomWeights {
    seed: u64,
    tensors: Vec<RandomTensor>,
    places: HashMap<String, usize>,
}

impl RandomWeights {
    /// The weights of a list of tensors.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a name that occurs twice or a size that overflows or whose rows are not whole blocks,
    /// [`Error::Unsupported`] for a format without an encoder.
    pub fn new(seed: u64, tensors: impl IntoIterator<Item = RandomTensor>) -> Result<Self, Error> {
        let tensors: Vec<_> = tensors.into_iter().collect();
        let mut places = HashMap::with_capacity(tensors.len());
        for (place, tensor) in tensors.iter().enumerate() {
            if !tensor.format.is_computable() {
                return Err(Unsupported::format_for(&tensor.name, tensor.format, "as random weights").into());
            }
            let elements = tensor.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
            let row = tensor.format.byte_len(tensor.cols());
            if row.is_none() || elements.and_then(|n| tensor.format.byte_len(n)).is_none() {
                let detail = format!("shape {:?} overflows or is not whole blocks of {}", tensor.shape, tensor.format);
                return Err(Error::malformed(&tensor.name, detail));
            }
            if places.insert(tensor.name.clone(), place).is_some() {
                return Err(Error::malformed(&tensor.name, "two random tensors of this name"));
            }
        }
        Ok(Self { seed, tensors, places })
    }

    /// The tensors, in the order of the list.
    pub fn tensors(&self) -> &[RandomTensor] {
        &self.tensors
    }

    /// The values of a tensor, row-major, before they are rounded to its format. The iterator is as long as the tensor
    /// has elements.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is none of this name.
    pub fn values(&self, name: &str) -> Result<impl ExactSizeIterator<Item = f32> + use<>, Error> {
        let tensor = self.find(name)?;
        let elements = tensor.shape.iter().product::<usize>();
        let start = fnv(name).wrapping_add(self.seed.wrapping_mul(0xd134_2543_de82_ef95));
        let (mean, scale) = (tensor.mean, tensor.scale);
        Ok((0..elements).map(move |i| {
            let z = mix(start.wrapping_add((i as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            let unit = (z >> 40) as f32 / (1u32 << 23) as f32 - 1.0;
            mean + scale * unit
        }))
    }

    fn find(&self, name: &str) -> Result<&RandomTensor, Error> {
        let place = self.places.get(name).and_then(|&place| self.tensors.get(place));
        place.ok_or_else(|| Error::Missing { kind: "tensor", name: name.to_owned() })
    }
}

impl Weights for RandomWeights {
    fn get(&self, name: &str) -> Result<RawTensor, Error> {
        let tensor = self.find(name)?;
        let mut values = self.values(name)?;
        let mut bytes = Vec::with_capacity(tensor.format.byte_len(values.len()).unwrap_or_default());
        let mut row = Vec::with_capacity(tensor.cols());
        let ones = vec![1.0; tensor.cols()];
        while values.len() > 0 {
            row.clear();
            row.extend(values.by_ref().take(tensor.cols()));
            let importance = tensor.format.needs_importance().then_some(ones.as_slice());
            bytes.extend(mistral_quant::encode_row_with(tensor.format, &row, importance)?);
        }
        let kind = TensorType::Format(tensor.format);
        Ok(RawTensor { name: name.to_owned(), kind, shape: tensor.shape.clone(), bytes: SharedBytes::new(bytes) })
    }

    fn contains(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.tensors.iter().map(|tensor| tensor.name.as_str()))
    }
}

fn fnv(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
}

fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, shape: &[usize], format: Format, mean: f32, scale: f32) -> RandomTensor {
        RandomTensor { name: name.into(), shape: shape.to_vec(), format, mean, scale }
    }

    /// The bit patterns were computed from the definition by a few lines of Python.
    #[test]
    fn values_are_those_of_the_definition() {
        let name = "blk.0.attn_q.weight";
        for (seed, matrix, norm) in [
            (0, [1_031_953_554, 1_021_821_434, 1_033_276_746, 1_036_380_299], 0x3f7e_b5bf),
            (7, [1_029_029_485, 1_026_090_899, 3_181_409_555, 3_175_294_951], 0x3f81_401f),
        ] {
            let list = [tensor(name, &[2, 3], Format::F32, 0.0, 0.1), tensor("n", &[1], Format::F32, 1.0, 0.05)];
            let weights = RandomWeights::new(seed, list).unwrap();
            let bits: Vec<_> = weights.values(name).unwrap().map(f32::to_bits).collect();
            assert_eq!([bits[0], bits[1], bits[2], bits[5]], matrix);
            assert_eq!(weights.values("n").unwrap().next().unwrap().to_bits(), norm);
            let stored = weights.get(name).unwrap().matrix(2, 3).unwrap();
            assert!(stored.bytes().iter().copied().eq(bits.iter().flat_map(|b| b.to_le_bytes())));
        }
    }

    #[test]
    fn values_fill_their_range() {
        let weights = RandomWeights::new(1, [tensor("w", &[100_000], Format::F32, 1.0, 0.5)]).unwrap();
        let (mut low, mut high, mut sum) = (f32::MAX, f32::MIN, 0.0);
        for v in weights.values("w").unwrap() {
            (low, high, sum) = (low.min(v), high.max(v), sum + f64::from(v));
        }
        assert!((0.5..0.5001).contains(&low) && (1.4999..=1.5).contains(&high), "{low} {high}");
        // The standard error is 0.5 / sqrt(3 * 100,000).
        assert!((sum / 100_000.0 - 1.0).abs() < 5.0 * 0.0009);
    }

    #[test]
    fn half_formats_round_to_nearest_even() {
        let list = [tensor("a", &[64], Format::F32, 0.0, 1.0)];
        let exact: Vec<f32> = RandomWeights::new(0, list).unwrap().values("a").unwrap().collect();
        for format in [Format::F16, Format::BF16] {
            let weights = RandomWeights::new(0, [tensor("a", &[64], format, 0.0, 1.0)]).unwrap();
            let bytes = weights.get("a").unwrap().bytes;
            for (pair, &x) in bytes.as_slice().chunks_exact(2).zip(&exact) {
                let bits = u16::from_le_bytes([pair[0], pair[1]]);
                let (read, unit) = match format {
                    Format::F16 => (half::f16::from_bits(bits).to_f32(), 2f32.powi(-11)),
                    _ => (half::bf16::from_bits(bits).to_f32(), 2f32.powi(-8)),
                };
                assert!((read - x).abs() <= unit * x.abs().max(2f32.powi(-14)), "{format} {x} {read}");
            }
        }
    }

    #[test]
    fn quantized_tensors_are_close_to_their_values() {
        let weights = RandomWeights::new(0, [tensor("a", &[3, 2, 256], Format::Q8_0, 0.0, 1.0)]).unwrap();
        let stored = weights.get("a").unwrap().to_weight().unwrap();
        assert_eq!((stored.rows(), stored.cols()), (6, 256));
        let mut read = vec![0.0; 6 * 256];
        mistral_quant::decode_row(Format::Q8_0, stored.bytes(), &mut read).unwrap();
        // Half a step of 1/127 of the block's maximum, and the rounding of the scale to f16.
        let step = 0.5 / 127.0 + 2f32.powi(-11);
        assert!(weights.values("a").unwrap().zip(&read).all(|(x, y)| (x - y).abs() <= step));
    }

    #[test]
    fn every_computable_format_can_be_drawn() {
        for format in Format::all().filter(|format| format.is_computable()) {
            let weights = RandomWeights::new(3, [tensor("a", &[2, 256], format, 0.0, 1.0)]).unwrap();
            let stored = weights.get("a").unwrap();
            let mut read = vec![0.0; 512];
            mistral_quant::decode_row(format, stored.bytes.as_slice(), &mut read).unwrap();
            let square: f32 = weights.values("a").unwrap().zip(&read).map(|(x, y)| (x - y).powi(2)).sum();
            // The values themselves have a mean square of 1/3.
            assert!(square / 512.0 < 0.11, "{format}: {square}");
        }
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let twice = [tensor("a", &[1], Format::F32, 0.0, 1.0), tensor("a", &[1], Format::F32, 0.0, 1.0)];
        assert!(matches!(RandomWeights::new(0, twice), Err(Error::Malformed { .. })));
        let huge = [tensor("a", &[usize::MAX, 2], Format::F32, 0.0, 1.0)];
        assert!(matches!(RandomWeights::new(0, huge), Err(Error::Malformed { .. })));
        let half_block = [tensor("a", &[2, 16], Format::Q8_0, 0.0, 1.0)];
        assert!(matches!(RandomWeights::new(0, half_block), Err(Error::Malformed { .. })));
        let integers = [tensor("a", &[32], Format::I32, 0.0, 1.0)];
        assert!(matches!(RandomWeights::new(0, integers), Err(Error::Unsupported { .. })));
        let none = RandomWeights::new(0, []).unwrap();
        assert!(matches!(none.get("a"), Err(Error::Missing { .. })));
    }
}
