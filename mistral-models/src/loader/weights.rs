//! The seam between checkpoints and decoders: tensors by name, as bytes in their storage format.

use std::fmt;

use mistral_quant::{Format, SharedBytes, Weight};

use crate::error::Error;
use crate::unsupported::Unsupported;

/// Named tensors. GGUF files, safetensors files and [`RandomWeights`](crate::RandomWeights) implement it, and so may a
/// program that keeps weights elsewhere.
pub trait Weights: Send + Sync {
    /// The tensor of this name. Costs a lookup; the bytes are shared, not copied, where the source has them in memory.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is none, [`Error::Unsupported`] when its size cannot be known (a GGUF type id that
    /// this version has never heard of).
    fn get(&self, name: &str) -> Result<RawTensor, Error>;

    /// Whether there is a tensor of this name.
    fn contains(&self, name: &str) -> bool;

    /// All names, in the order of the source.
    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_>;

    /// Whether these are the weights that a `quantization_config` describes, put together from the parts in which they are stored. If
    /// not, a configuration with such a description is refused.
    fn unpacks_quantization(&self) -> bool {
        false
    }
}

impl<W: Weights + ?Sized> Weights for &W {
    fn get(&self, name: &str) -> Result<RawTensor, Error> {
        (**self).get(name)
    }

    fn contains(&self, name: &str) -> bool {
        (**self).contains(name)
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        (**self).names()
    }
}

/// What the elements of a tensor are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TensorType {
    /// A format that this family of crates knows.
    Format(Format),
    /// Any other, by the name that the file gives it, such as `F8_E4M3`; its bytes are there, its meaning is not.
    Other(Box<str>),
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(format) => format.fmt(f),
            Self::Other(name) => f.write_str(name),
        }
    }
}

/// One tensor as it is stored.
#[derive(Debug, Clone)]
pub struct RawTensor {
    /// Its name in the checkpoint.
    pub name: String,
    /// The type of its elements.
    pub kind: TensorType,
    /// Sizes, outermost dimension first and the contiguous one last (GGUF files store the reverse). Empty for a scalar.
    pub shape: Vec<usize>,
    /// The elements, little-endian, row after row.
    pub bytes: SharedBytes,
}

impl RawTensor {
    /// The storage format.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when the type has only a name.
    pub fn format(&self) -> Result<Format, Error> {
        match &self.kind {
            TensorType::Format(format) => Ok(*format),
            TensorType::Other(name) => Err(Unsupported::format(&self.name, name).into()),
        }
    }

    /// As a matrix: the last dimension is a row, all others together are the rows. A vector is one row.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a type without a [`Format`], [`Error::Malformed`] for a tensor without elements,
    /// [`Error::Quant`] when the number of bytes does not belong to the shape.
    pub fn to_weight(&self) -> Result<Weight, Error> {
        let (cols, outer) = self.shape.split_last().map_or((1, &[][..]), |(cols, outer)| (*cols, outer));
        let rows = outer.iter().try_fold(1usize, |rows, &n| rows.checked_mul(n)).filter(|&rows| rows > 0 && cols > 0);
        let rows = rows.ok_or_else(|| {
            Error::malformed(format!("tensor `{}`", self.name), format!("shape {:?} has no elements", self.shape))
        })?;
        Ok(Weight::new(self.format()?, rows, cols, self.bytes.clone())?)
    }

    /// As the matrix `[rows, cols]`, which must be its very shape.
    ///
    /// # Errors
    /// [`Error::Shape`] for another shape; else as [`RawTensor::to_weight`].
    pub fn matrix(&self, rows: usize, cols: usize) -> Result<Weight, Error> {
        self.expect_shape(&[rows, cols])?;
        self.to_weight()
    }

    /// As the vector `[len]`, a weight of one row.
    ///
    /// # Errors
    /// As [`RawTensor::matrix`].
    pub fn vector(&self, len: usize) -> Result<Weight, Error> {
        self.expect_shape(&[len])?;
        self.to_weight()
    }

    /// Checks the shape.
    ///
    /// # Errors
    /// [`Error::Shape`] when it is another one.
    pub fn expect_shape(&self, shape: &[usize]) -> Result<(), Error> {
        if self.shape == shape {
            return Ok(());
        }
        Err(Error::Shape { tensor: self.name.clone(), expected: shape.to_vec(), found: self.shape.clone() })
    }
}
