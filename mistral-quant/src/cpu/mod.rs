//! The operations on the CPU: SIMD kernels chosen at run time, on the threads of a pool.
//!
//! Results do not depend on the number of threads, nor on which other tokens share the batch: every output element is
//! computed by one task in an order that only its own row and its position in the sequence decide.

pub(crate) mod activations;
mod attention;
mod dense;
mod disjoint;
mod elementwise;
mod experts;
pub(crate) mod kernels;
mod kv;
mod locks;
mod matmul;
pub(crate) mod pool;
mod repack;
mod storage;
mod weight;

use std::mem;
use std::sync::{Arc, Mutex};

use self::disjoint::Disjoint;
use self::elementwise::Elementwise;
use self::experts::ExpertJob;
pub use self::kernels::Isa;
pub(crate) use self::kernels::Kernels;
pub use self::kv::CpuKv;
use self::matmul::{Gated, Job, Scratch};
pub use self::repack::Repack;
use self::repack::Repacker;
use self::storage::Lines;
pub use self::weight::CpuWeight;
use self::weight::Form;
use crate::backend::sealed::Sealed;
use crate::{
    Activation, Attention, Backend, Error, ExpertMatMul, GluMatMul, KvShape, MatMul, RmsNorm, Rope, RopeStyle, Routes,
    Span, ThreadPool, Weight, check,
};

/// Elements below which a memory-bound operation is not worth waking threads for; also the size of a task's piece.
const CHEAP_PIECE: usize = 16 * 1024;

/// The same for operations with exponentials or sums.
const COSTLY_PIECE: usize = 8 * 1024;

/// How a [`Cpu`] is set up. The default takes all cores and the best instruction set.
///
/// ```
/// use mistral_quant::{Cpu, CpuOptions, Isa};
/// let mut options = CpuOptions::default();
/// options.threads = Some(1);
/// options.isa_limit = Some(Isa::Scalar);
/// let cpu = Cpu::new(options)?;
/// assert_eq!(cpu.threads(), 1);
/// # Ok::<(), mistral_quant::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CpuOptions {
    /// Threads of a new pool, the caller included, at most [`ThreadPool::MAX_THREADS`]. `None` means the number that
    /// [`available_parallelism`](std::thread::available_parallelism) returns. That number respects affinity and container limits, but
    /// counts hardware threads. On a processor with two hardware threads per core, half the number generates as fast or faster, because one
    /// thread per core already uses up the memory bandwidth. Ignored when `pool` is set.
    pub threads: Option<usize>,
    /// The best instruction set to use; `None`: the best that the machine has. For tests and comparisons.
    pub isa_limit: Option<Isa>,
    /// An existing pool to share; `None`: a pool of its own.
    pub pool: Option<ThreadPool>,
    /// When weights are laid out for the kernels.
    pub repack: Repack,
    /// Rounds activations to BF16 where they are multiplied with weights of [`Format::BF16`](crate::Format::BF16), as llama.cpp does.
    /// An output is then off by at most 2^-8 of the sum of the magnitudes of its products (a random walk makes it far less), beside the
    /// rounding of f32 sums; other formats are not touched. With AVX512-BF16 prompts of a BF16 model run at nearly twice the speed;
    /// other processors round all the same, so that the option means one thing everywhere, and gain nothing. Off by default.
    pub bf16_products: bool,
}

/// The CPU backend.
///
/// ```
/// use mistral_quant::{Backend, Cpu, CpuOptions, MatMul, Weight};
/// let mut cpu = Cpu::new(CpuOptions::default())?;
/// let weight = cpu.weight(Weight::from_f32(2, 3, &[1.0, 0.0, 0.0, 0.0, 1.0, 1.0])?)?;
/// let (mut x, mut out) = (cpu.buffer(3)?, cpu.buffer(2)?);
/// cpu.write(&mut x, &[5.0, 6.0, 7.0])?;
/// cpu.matmul(&x, 1, &mut [MatMul { weight: &weight, bias: None, out: &mut out }])?;
/// let mut y = [0.0; 2];
/// cpu.read(&out, 0, &mut y)?;
/// assert_eq!(y, [5.0, 13.0]);
/// # Ok::<(), mistral_quant::Error>(())
/// ```
#[derive(Debug)]
pub struct Cpu {
    pool: ThreadPool,
    kernels: Kernels,
    elementwise: Elementwise,
    products: Scratch,
    experts: experts::Scratch,
    repacker: Repacker,
    attention: attention::Scratch,
    /// The second factors of gated products that are not computed together with the first.
    scaled: Vec<f32>,
}

/// f32 activations in host memory.
#[derive(Debug)]
pub struct CpuBuffer {
    values: Lines,
}

impl Cpu {
    /// Starts the threads, unless a pool is given, and looks at the processor.
    ///
    /// # Errors
    /// Those of [`ThreadPool::new`].
    pub fn new(options: CpuOptions) -> Result<Self, Error> {
        let pool = match options.pool {
            Some(pool) => pool,
            None => ThreadPool::new(options.threads.unwrap_or_else(pool::available_threads))?,
        };
        let kernels = options.isa_limit.map_or_else(Kernels::detect, Kernels::with_limit);
        let kernels = kernels.with_bf16_products(options.bf16_products);
        let attention = attention::Scratch::new(pool.threads());
        let repacker = Repacker::new(options.repack);
        Ok(Self {
            elementwise: Elementwise::new(&kernels),
            pool,
            kernels,
            products: Scratch::default(),
            experts: experts::Scratch::default(),
            repacker,
            attention,
            scaled: Vec::new(),
        })
    }

    /// Threads that compute, the caller included.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// The pool, to share with another backend.
    pub fn pool(&self) -> &ThreadPool {
        &self.pool
    }

    /// Weights that wait to be packed by [`Repack::Background`]; 0 when all are as fast as they will be.
    pub fn repacking(&self) -> usize {
        self.repacker.waiting()
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.kernels.isa()
    }

    /// `gate = activation(gate) * up`; `up` is at least as long.
    fn glu_of(&self, gate: &mut [f32], up: &[f32], activation: Activation) -> Result<(), Error> {
        self.pieces(gate, 1, COSTLY_PIECE, &|start, gate| {
            self.elementwise.glu(gate, &up[start..start + gate.len()], activation);
        })
    }

    /// Calls `f(start, piece)` for consecutive pieces of `values` that are multiples of `unit` long and near `piece`.
    fn pieces(
        &self,
        values: &mut [f32],
        unit: usize,
        piece: usize,
        f: &(dyn Fn(usize, &mut [f32]) + Sync),
    ) -> Result<(), Error> {
        let piece = (piece / unit.max(1)).max(1).saturating_mul(unit.max(1));
        let len = values.len();
        let tasks = len.div_ceil(piece);
        let values = Disjoint::new(values);
        self.pool.for_each(tasks, &|task| {
            let start = task * piece;
            // SAFETY: the pieces of different tasks do not overlap.
            f(start, unsafe { values.slice(start, piece.min(len - start)) });
        })
    }
}

impl Sealed for Cpu {}

impl Backend for Cpu {
    type Buffer = CpuBuffer;
    type Weight = CpuWeight;
    type Kv = CpuKv;

    fn buffer(&mut self, len: usize) -> Result<CpuBuffer, Error> {
        Ok(CpuBuffer { values: Lines::zeroed("a buffer", len)? })
    }

    fn write(&mut self, buffer: &mut CpuBuffer, values: &[f32]) -> Result<(), Error> {
        check::holds("written buffer", buffer.values.len(), &[values.len()])?;
        buffer.values[..values.len()].copy_from_slice(values);
        Ok(())
    }

    fn read(&mut self, buffer: &CpuBuffer, offset: usize, values: &mut [f32]) -> Result<(), Error> {
        let range = check::range("read buffer", buffer.values.len(), offset, values.len())?;
        values.copy_from_slice(&buffer.values[range]);
        Ok(())
    }

    fn weight(&mut self, weight: Weight) -> Result<CpuWeight, Error> {
        let weight = CpuWeight::new(weight)?;
        self.repacker.add(&weight, &self.kernels, &self.pool)?;
        Ok(weight)
    }

    fn kv(&mut self, shape: KvShape) -> Result<CpuKv, Error> {
        CpuKv::new(shape)
    }

    fn embed(&mut self, table: &CpuWeight, ids: &[u32], scale: f32, out: &mut CpuBuffer) -> Result<(), Error> {
        let width = table.cols();
        check::ids("token id", ids, table.rows())?;
        let len = check::holds("embedded tokens", out.values.len(), &[ids.len(), width])?;
        let form = table.shared().form();
        let failed = Mutex::new(None);
        self.pieces(&mut out.values[..len], width, COSTLY_PIECE, &|start, out| {
            for (out, &id) in out.chunks_exact_mut(width).zip(&ids[start / width..]) {
                if let Err(error) = form.decode_row(&self.kernels, id as usize, out)
                    && let Ok(mut failed) = failed.lock()
                {
                    *failed = Some(error);
                }
                if scale != 1.0 {
                    out.iter_mut().for_each(|value| *value *= scale);
                }
            }
        })?;
        failed.into_inner().ok().flatten().map_or(Ok(()), Err)
    }

    fn gather(&mut self, x: &CpuBuffer, rows: &[u32], width: usize, out: &mut CpuBuffer) -> Result<(), Error> {
        let len = check::holds("gathered rows", out.values.len(), &[rows.len(), width])?;
        if width == 0 {
            return Ok(());
        }
        check::ids("gathered row", rows, x.values.len() / width)?;
        for (out, &row) in out.values[..len].chunks_exact_mut(width).zip(rows) {
            let start = row as usize * width;
            out.copy_from_slice(&x.values[start..start + width]);
        }
        Ok(())
    }

    fn rms_norm(
        &mut self,
        x: &CpuBuffer,
        rows: usize,
        weight: &CpuWeight,
        norm: RmsNorm,
        out: &mut CpuBuffer,
    ) -> Result<(), Error> {
        let len = check::rms_norm(x.values.len(), rows, weight.shape(), norm)?;
        check::holds("output of an rms norm", out.values.len(), &[len])?;
        self.pieces(&mut out.values[..len], norm.width, COSTLY_PIECE, &|start, out| {
            for (x, out) in x.values[start..].chunks_exact(norm.width).zip(out.chunks_exact_mut(norm.width)) {
                out.copy_from_slice(x);
                self.elementwise.rms_norm(out, weight.vector(), norm);
            }
        })
    }

    fn rms_norm_in_place(
        &mut self,
        x: &mut CpuBuffer,
        rows: usize,
        weight: &CpuWeight,
        norm: RmsNorm,
    ) -> Result<(), Error> {
        let len = check::rms_norm(x.values.len(), rows, weight.shape(), norm)?;
        self.pieces(&mut x.values[..len], norm.width, COSTLY_PIECE, &|_, x| {
            x.chunks_exact_mut(norm.width).for_each(|x| self.elementwise.rms_norm(x, weight.vector(), norm));
        })
    }

    fn matmul(&mut self, x: &CpuBuffer, tokens: usize, group: &mut [MatMul<'_, Self>]) -> Result<(), Error> {
        for product in &*group {
            let bias = product.bias.map(CpuWeight::shape);
            check::matmul(product.weight.shape(), bias, tokens, x.values.len(), product.out.values.len())?;
        }
        let Some(cols) = group.first().map(|product| product.weight.cols()) else { return Ok(()) };
        group.iter().try_for_each(|product| check::same_cols(cols, product.weight.cols()))?;
        let forms: Vec<Arc<Form>> = group.iter().map(|product| product.weight.shared().form()).collect();
        let mut jobs: Vec<Job<'_>> = group
            .iter_mut()
            .zip(&forms)
            .map(|(MatMul { weight, bias, out }, form)| Job {
                weight: form.operand(),
                bias: bias.map(CpuWeight::vector),
                gated: None,
                out: &mut out.values[..tokens * weight.rows()],
            })
            .collect();
        matmul::matmul(&self.pool, &self.kernels, &mut self.products, &x.values[..tokens * cols], tokens, &mut jobs)
    }

    fn matmul_glu(&mut self, x: &CpuBuffer, tokens: usize, product: GluMatMul<'_, Self>) -> Result<(), Error> {
        let GluMatMul { gate, up, biases, activation, out } = product;
        let shapes = biases.map(|bias| bias.map(CpuWeight::shape));
        let (x, out) = (&x.values, &mut out.values);
        let len = check::glu_matmul(gate.shape(), up.shape(), shapes, tokens, x.len(), out.len())?;
        let [gate_bias, up_bias] = biases.map(|bias| bias.map(CpuWeight::vector));
        let cols = gate.cols();
        let (x, out) = (&x[..tokens * cols], &mut out[..len]);
        let (gate, up) = (gate.shared().form(), up.shared().form());
        let (gate, up) = (gate.operand(), up.operand());
        let blocks = matmul::is_block_format(gate.format()) && matmul::is_block_format(up.format());
        if blocks && cols > 0 && tokens >= matmul::GATED_TOKENS {
            let gated = Some(Gated { up, bias: up_bias, activation });
            let mut job = [Job { weight: gate, bias: gate_bias, gated, out }];
            return matmul::matmul(&self.pool, &self.kernels, &mut self.products, x, tokens, &mut job);
        }
        let mut scaled = mem::take(&mut self.scaled);
        if scaled.len() < len {
            scaled = storage::zeroed("a gated product", len)?;
        }
        let mut jobs = [
            Job { weight: gate, bias: gate_bias, gated: None, out: &mut *out },
            Job { weight: up, bias: up_bias, gated: None, out: &mut scaled[..len] },
        ];
        let product = matmul::matmul(&self.pool, &self.kernels, &mut self.products, x, tokens, &mut jobs);
        let product = product.and_then(|()| self.glu_of(out, &scaled, activation));
        self.scaled = scaled;
        product
    }

    fn matmul_experts(
        &mut self,
        x: &CpuBuffer,
        routes: Routes<'_>,
        group: &mut [ExpertMatMul<'_, Self>],
    ) -> Result<(), Error> {
        let mut shapes = Vec::with_capacity(group.len());
        for product in &*group {
            let biases = product.biases.map(|biases| biases.iter().map(CpuWeight::shape));
            let weights = product.weights.iter().map(CpuWeight::shape);
            shapes.push(check::expert_matmul(weights, biases, routes, x.values.len(), product.out.values.len())?);
        }
        let Some(&[_, cols]) = shapes.first() else { return Ok(()) };
        shapes.iter().try_for_each(|shape| check::same_cols(cols, shape[1]))?;
        let used: Vec<usize> = (0..routes.ends.len()).filter(|&expert| !routes.of(expert).is_empty()).collect();
        let form = |weights: &[CpuWeight]| -> Vec<Arc<Form>> {
            used.iter().filter_map(|&expert| Some(weights.get(expert)?.shared().form())).collect()
        };
        let forms: Vec<Vec<Arc<Form>>> = group.iter().map(|product| form(product.weights)).collect();
        let mut jobs: Vec<ExpertJob<'_>> = group
            .iter_mut()
            .zip(&forms)
            .zip(&shapes)
            .map(|((ExpertMatMul { biases, out, .. }, forms), &[rows, _])| {
                let bias = |expert: usize| Some(biases.as_ref()?.get(expert)?.vector());
                let experts = used.iter().zip(forms).map(|(&expert, form)| (expert, form.operand(), bias(expert)));
                ExpertJob { rows, experts: experts.collect(), out: &mut out.values[..routes.rows.len() * rows] }
            })
            .collect();
        experts::matmul(&self.pool, &self.kernels, &mut self.experts, &x.values, cols, routes, &mut jobs)
    }

    fn add_routed(
        &mut self,
        out: &mut CpuBuffer,
        y: &CpuBuffer,
        routes: Routes<'_>,
        weights: &[f32],
        width: usize,
    ) -> Result<(), Error> {
        check::add_routed(out.values.len(), y.values.len(), routes, weights, width)?;
        // A task adds up some columns of all routes, each in the order of the routes.
        let rows = routes.rows.len().max(1);
        let piece = (CHEAP_PIECE / rows).max(16);
        let out = Disjoint::new(&mut out.values);
        self.pool.for_each(width.div_ceil(piece), &|task| {
            let (start, len) = (task * piece, piece.min(width - task * piece));
            for (route, (&row, &weight)) in routes.rows.iter().zip(weights).enumerate() {
                // SAFETY: these columns are this task's, and the last borrow of them has ended.
                let out = unsafe { out.slice(row as usize * width + start, len) };
                self.elementwise.blend(out, 1.0, &y.values[route * width + start..][..len], weight);
            }
        })
    }

    fn rope(
        &mut self,
        x: &mut CpuBuffer,
        tokens: usize,
        cos: &CpuBuffer,
        sin: &CpuBuffer,
        rope: Rope,
    ) -> Result<(), Error> {
        let len = check::rope(x.values.len(), tokens, cos.values.len(), sin.values.len(), rope)?;
        let (width, half) = (rope.heads * rope.head_dim, rope.rotary_dim / 2);
        if len == 0 || half == 0 {
            return Ok(());
        }
        self.pieces(&mut x.values[..len], width, COSTLY_PIECE, &|start, x| {
            for (i, token) in x.chunks_exact_mut(width).enumerate() {
                let table = (start / width + i) * half;
                let (cos, sin) = (&cos.values[table..table + half], &sin.values[table..table + half]);
                for head in token.chunks_exact_mut(rope.head_dim) {
                    match rope.style {
                        RopeStyle::Halves => self.elementwise.rotate_halves(&mut head[..2 * half], cos, sin),
                        RopeStyle::Pairs => self.elementwise.rotate_pairs(&mut head[..2 * half], cos, sin),
                    }
                }
            }
        })
    }

    fn append(
        &mut self,
        kv: &mut CpuKv,
        keys: &CpuBuffer,
        values: &CpuBuffer,
        spans: &[Span<'_>],
    ) -> Result<(), Error> {
        check::append(kv.shape(), keys.values.len(), values.values.len(), spans)?;
        kv.append(&self.pool, &keys.values, &values.values, spans)
    }

    fn attention(
        &mut self,
        queries: &CpuBuffer,
        kv: &CpuKv,
        attention: Attention<'_, Self>,
        out: &mut CpuBuffer,
    ) -> Result<(), Error> {
        let sinks = attention.sinks.map(CpuWeight::shape);
        check::attention(kv.shape(), &attention, sinks, queries.values.len(), out.values.len())?;
        self.attention.run(&self.pool, &self.kernels, &queries.values, kv, attention, &mut out.values)
    }

    fn glu(&mut self, gate: &mut CpuBuffer, up: &CpuBuffer, len: usize, activation: Activation) -> Result<(), Error> {
        check::holds("gate", gate.values.len(), &[len])?;
        check::holds("up", up.values.len(), &[len])?;
        self.glu_of(&mut gate.values[..len], &up.values, activation)
    }

    fn add(&mut self, x: &mut CpuBuffer, y: &CpuBuffer, len: usize) -> Result<(), Error> {
        check::holds("left summand", x.values.len(), &[len])?;
        check::holds("right summand", y.values.len(), &[len])?;
        self.pieces(&mut x.values[..len], 1, CHEAP_PIECE, &|start, x| {
            self.elementwise.add(x, &y.values[start..start + x.len()]);
        })
    }

    fn soft_cap(&mut self, x: &mut CpuBuffer, len: usize, cap: f32) -> Result<(), Error> {
        check::positive_cap(cap)?;
        check::holds("capped values", x.values.len(), &[len])?;
        self.pieces(&mut x.values[..len], 1, COSTLY_PIECE, &|_, x| self.elementwise.soft_cap(x, cap))
    }

    fn add_rms_norm(
        &mut self,
        x: &mut CpuBuffer,
        y: &CpuBuffer,
        rows: usize,
        weight: &CpuWeight,
        norm: RmsNorm,
        out: &mut CpuBuffer,
    ) -> Result<(), Error> {
        let (x_len, y_len) = (x.values.len(), y.values.len());
        let len = check::add_rms_norm(x_len, y_len, rows, weight.shape(), norm, out.values.len())?;
        let x = Disjoint::new(&mut x.values[..len]);
        self.pieces(&mut out.values[..len], norm.width, COSTLY_PIECE, &|start, out| {
            // SAFETY: as `pieces` gives this task this part of `out` alone, so it has this part of `x` alone.
            let x = unsafe { x.slice(start, out.len()) };
            self.elementwise.add(x, &y.values[start..start + x.len()]);
            out.copy_from_slice(x);
            out.chunks_exact_mut(norm.width).for_each(|row| self.elementwise.rms_norm(row, weight.vector(), norm));
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
