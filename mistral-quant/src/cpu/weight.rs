//! A weight of the CPU: the blocks of its checkpoint, the packed form that the kernels stream, or both.

use std::sync::{Arc, PoisonError};

use super::kernels::Kernels;
use super::kernels::packed::{BAND, Packed, packed_bytes};
use super::locks::RwLock;
use super::operand::Operand;
use super::storage;
use crate::cpu::pool::ThreadPool;
use crate::error::Error;
use crate::format::Format;
use crate::formats::decode_row;
use crate::weight::Weight;

/// A matrix in the bytes of its checkpoint, in the packed form of the kernels, or, while a [`Repack`](super::Repack) policy is at
/// work, first the one and then the other; products are the same to the bit. One of a single row (a norm, a bias) is kept as f32
/// too. Clones share the matrix.
#[derive(Debug, Clone)]
pub struct CpuWeight {
    shared: Arc<Shared>,
    vector: Vec<f32>,
}

/// What a repacking thread may hold on to.
///
/// # Synchronization
/// A form is replaced under a lock and never changed; who computes takes a handle on it and needs the lock no more. It goes from blocks to
/// partly packed to packed, never back: only the thread that has found blocks and replaced them, under one lock, replaces it
/// again. The bands of a partly packed form appear one by one, each published whole by its `OnceLock`, so that of two looks
/// at a strip the second may find it packed, with the same numbers. `weight/model.rs` checks this with loom.
#[derive(Debug)]
pub(crate) struct Shared {
    format: Format,
    rows: usize,
    cols: usize,
    form: RwLock<Arc<Form>>,
    /// `[cols, rows]` in f32, once a convolution has asked for them.
    taps: std::sync::OnceLock<Vec<f32>>,
}

/// Where the numbers are.
#[derive(Debug)]
pub(crate) enum Form {
    /// As the checkpoint has them.
    Blocks(Weight),
    /// As the checkpoint has them, and what is packed by now as the kernels stream it.
    Partly(Weight, Arc<Packed>),
    /// As the kernels stream them.
    Packed(Arc<Packed>),
}

impl CpuWeight {
    pub(crate) fn new(weight: Weight) -> Result<Self, Error> {
        let (format, rows, cols) = (weight.format(), weight.rows(), weight.cols());
        let mut vector = storage::zeroed("a decoded row", if rows == 1 { cols } else { 0 })?;
        decode_row(format, if rows == 1 { weight.bytes() } else { &[] }, &mut vector)?;
        let form = RwLock::new(Arc::new(Form::Blocks(weight)));
        let taps = std::sync::OnceLock::new();
        Ok(Self { shared: Arc::new(Shared { format, rows, cols, form, taps }), vector })
    }

    /// The format of the checkpoint.
    pub fn format(&self) -> Format {
        self.shared.format
    }

    /// Output features.
    pub fn rows(&self) -> usize {
        self.shared.rows
    }

    /// Input features.
    pub fn cols(&self) -> usize {
        self.shared.cols
    }

    /// `[rows, cols]`.
    pub(crate) fn shape(&self) -> [usize; 2] {
        [self.rows(), self.cols()]
    }

    /// Whether the kernels stream a packed form of all of it by now.
    pub fn is_packed(&self) -> bool {
        matches!(&*self.shared.form(), Form::Packed(..))
    }

    /// The values of a weight of one row; of others none.
    pub(crate) fn vector(&self) -> &[f32] {
        &self.vector
    }

    /// Returns the matrix transposed, `[cols, rows]`, in f32: the taps of a convolution, a few per channel. They are kept.
    ///
    /// # Errors
    /// Those of [`decode_row`]; [`Error::Resource`].
    pub(crate) fn taps(&self, kernels: &Kernels) -> Result<&[f32], Error> {
        if let Some(taps) = self.shared.taps.get() {
            return Ok(taps);
        }
        let (rows, cols) = (self.rows(), self.cols());
        let mut taps = storage::zeroed("taps of a convolution", rows.saturating_mul(cols))?;
        let mut row = storage::zeroed("a decoded row", cols)?;
        let form = self.shared.form();
        for channel in 0..rows {
            form.decode_row(kernels, channel, &mut row)?;
            row.iter().enumerate().for_each(|(tap, &value)| taps[tap * rows + channel] = value);
        }
        Ok(self.shared.taps.get_or_init(|| taps))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Shared {
    /// The present form; it stays valid while it is held.
    pub(crate) fn form(&self) -> Arc<Form> {
        Arc::clone(&self.form.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether [`pack`](Self::pack) would do anything.
    pub(crate) fn can_pack(&self, kernels: &Kernels) -> bool {
        matches!(&*self.form(), Form::Blocks(weight) if is_worth_packing(kernels, weight))
    }

    /// Packs the weight, unless it is packed, about to be, or small, or would take noticeably more memory than its blocks.
    ///
    /// # Errors
    /// [`Error::Resource`] when there is no memory, and those of the pool; the blocks of what is not packed stay in use.
    pub(crate) fn pack(&self, kernels: &Kernels, pool: &ThreadPool) -> Result<(), Error> {
        self.pack_in_bands(kernels, pool, BAND)
    }

    /// [`pack`](Self::pack), about `band` bytes at a time.
    fn pack_in_bands(&self, kernels: &Kernels, pool: &ThreadPool, band: usize) -> Result<(), Error> {
        let Some((weight, packed)) = self.start_packing(kernels, band)? else { return Ok(()) };
        packed.fill(kernels, pool, &weight)?;
        self.set_form(Form::Packed(packed));
        // With the pages that lie across the ends of bands. A pass that still reads blocks finds them again.
        weight.release();
        Ok(())
    }

    /// From here on passes read each band in its packed form as soon as there is one, so that few of the blocks come back that are
    /// released band after band. `None` when there is nothing to pack, or another thread packs.
    fn start_packing(&self, kernels: &Kernels, band: usize) -> Result<Option<(Weight, Arc<Packed>)>, Error> {
        let mut form = self.form.write().unwrap_or_else(PoisonError::into_inner);
        let Form::Blocks(weight) = &**form else { return Ok(None) };
        if !is_worth_packing(kernels, weight) {
            return Ok(None);
        }
        let (weight, packed) = (weight.clone(), Arc::new(Packed::with_bands(kernels, weight, band)?));
        *form = Arc::new(Form::Partly(weight.clone(), Arc::clone(&packed)));
        Ok(Some((weight, packed)))
    }

    fn set_form(&self, form: Form) {
        *self.form.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(form);
    }
}

/// A matrix whose packed form is at most 15 % larger than its blocks.
fn is_worth_packing(kernels: &Kernels, weight: &Weight) -> bool {
    let bytes = weight.bytes().len();
    weight.rows() > 1
        && packed_bytes(kernels, weight.format(), weight.rows(), weight.cols())
            .is_some_and(|packed| packed <= bytes + bytes * 3 / 20)
}

impl Form {
    /// What the kernels multiply with.
    pub(crate) fn operand(&self) -> Operand<'_> {
        match self {
            Self::Blocks(weight) => Operand::Blocks(weight),
            Self::Partly(weight, packed) => Operand::Partly(weight, packed),
            Self::Packed(packed) => Operand::Packed(packed),
        }
    }

    /// One row as f32; `out` holds `cols` values. Rows of a packed weight are taken from there, which costs some microseconds: the pages of
    /// a mapped file would come back, with their neighbours, for every row that is read.
    ///
    /// # Errors
    /// Those of [`decode_row`].
    pub(crate) fn decode_row(&self, kernels: &Kernels, row: usize, out: &mut [f32]) -> Result<(), Error> {
        let weight = match self {
            Self::Blocks(weight) => weight,
            Self::Partly(weight, packed) if !packed.has_row(row) => weight,
            Self::Partly(_, packed) | Self::Packed(packed) => {
                packed.decode_row(kernels, row, out);
                return Ok(());
            }
        };
        let start = row * weight.row_bytes();
        let bytes = weight.bytes().get(start..start + weight.row_bytes()).unwrap_or_default();
        decode_row(weight.format(), bytes, out)
    }
}

#[cfg(all(test, loom))]
mod model;
#[cfg(test)]
mod tests;
