//! Matrix products row by row: each is decoded and multiplied with every token.

use crate::cpu::Kernels;
use crate::cpu::disjoint::Disjoint;
use crate::{Error, ThreadPool, Weight, decode_row};

/// One product of a group over the same input.
pub(crate) struct Job<'a> {
    /// `[rows, cols]`.
    pub(crate) weight: &'a Weight,
    /// `[rows]`.
    pub(crate) bias: Option<&'a [f32]>,
    /// `[tokens, rows]`.
    pub(crate) out: &'a mut [f32],
}

/// Memory that products reuse.
#[derive(Debug, Default)]
pub(crate) struct Scratch {}

/// `out = x · weightᵀ + bias` for every job; `x` is `[tokens, cols]`.
pub(crate) fn matmul(
    pool: &ThreadPool,
    _kernels: &Kernels,
    _scratch: &mut Scratch,
    x: &[f32],
    tokens: usize,
    jobs: &mut [Job<'_>],
) -> Result<(), Error> {
    for job in jobs {
        let (rows, cols, bytes) = (job.weight.rows(), job.weight.cols(), job.weight.row_bytes());
        let out = Disjoint::new(job.out);
        pool.for_each(rows, &|i| {
            let mut row = vec![0.0; cols];
            let decoded = job.weight.bytes().get(i * bytes..(i + 1) * bytes).unwrap_or_default();
            if decode_row(job.weight.format(), decoded, &mut row).is_err() {
                return;
            }
            for t in 0..tokens {
                let x = x.get(t * cols..(t + 1) * cols).unwrap_or_default();
                let sum: f64 = row.iter().zip(x).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
                let bias = job.bias.and_then(|bias| bias.get(i)).copied().unwrap_or_default();
                // SAFETY: element `t * rows + i` belongs to task `i` alone.
                let out = unsafe { out.slice(t * rows + i, 1) };
                out.fill((sum + f64::from(bias)) as f32);
            }
        })?;
    }
    Ok(())
}
