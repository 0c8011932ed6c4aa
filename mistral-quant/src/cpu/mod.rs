//! The operations on the CPU: SIMD kernels chosen at run time, on the threads of a pool.

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
mod operand;
pub(crate) mod pool;
mod recurrent;
mod repack;
mod routing;
mod storage;
pub(crate) mod weight;

use std::mem;
use std::sync::{Arc, Mutex};

use self::disjoint::Disjoint;
use self::elementwise::{Elementwise, RowNorm};
use self::experts::ExpertJob;
pub use self::kernels::Isa;
pub(crate) use self::kernels::Kernels;
pub use self::kv::CpuKv;
use self::matmul::Scratch;
use self::operand::{Gated, Job};
use self::pool::ThreadPool;
use self::recurrent::Filter;
pub use self::repack::Repack;
use self::repack::Repacker;
use self::routing::Router;
use self::storage::Lines;
pub use self::weight::CpuWeight;
use self::weight::Form;
use crate::backend::sealed::Sealed;
use crate::backend::{
    Activation, Attention, Backend, Convolution, ExpertMatMul, GluMatMul, KvShape, MatMul, Norm, Rope, RopeStyle,
    RouteRule, SelectiveScan,
};
use crate::check;
use crate::error::Error;
use crate::routes::HostRoutes;
use crate::routes::RoutedInput;
use crate::state::HostState;
use crate::state::StateShape;
use crate::step::{HostStep, Rotation, StepInput};
use crate::weight::Weight;

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

impl CpuOptions {
    /// Sets [`threads`](Self#structfield.threads).
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Sets [`isa_limit`](Self#structfield.isa_limit).
    #[must_use]
    pub fn isa_limit(mut self, isa: Isa) -> Self {
        self.isa_limit = Some(isa);
        self
    }

    /// Sets [`pool`](Self#structfield.pool).
    #[must_use]
    pub fn pool(mut self, pool: ThreadPool) -> Self {
        self.pool = Some(pool);
        self
    }

    /// Sets [`repack`](Self#structfield.repack).
    #[must_use]
    pub fn repack(mut self, repack: Repack) -> Self {
        self.repack = repack;
        self
    }

    /// Sets [`bf16_products`](Self#structfield.bf16_products).
    #[must_use]
    pub fn bf16_products(mut self, on: bool) -> Self {
        self.bf16_products = on;
        self
    }
}

/// The CPU backend.
///
/// Equal inputs have equal results, to the bit: a row does not depend on which other rows share its batch, nor on the number of
/// threads, nor on whether its sequence came whole or in chunks, through the cache and the recurrent state alike. Every element of
/// a result is computed by one task, in an order that its own row and its position decide. An operation that fuses two others has
/// the bits of those two. All of this holds for one instruction set and one setting of [`CpuOptions::bf16_products`]; a different
/// instruction set rounds differently in the last digits.
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
    type State = HostState;
    type Step = HostStep;
    type Routes = HostRoutes;

    fn buffer(&mut self, len: usize) -> Result<CpuBuffer, Error> {
        Ok(CpuBuffer { values: Lines::zeroed("a buffer", len)? })
    }

    fn write(&mut self, buffer: &mut CpuBuffer, values: &[f32]) -> Result<(), Error> {
        check::sizes::holds("written buffer", buffer.values.len(), &[values.len()])?;
        buffer.values[..values.len()].copy_from_slice(values);
        Ok(())
    }

    fn read(&mut self, buffer: &CpuBuffer, offset: usize, values: &mut [f32]) -> Result<(), Error> {
        let range = check::sizes::range("read buffer", buffer.values.len(), offset, values.len())?;
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

    fn state(&mut self, shape: StateShape) -> Result<HostState, Error> {
        Ok(HostState::new(shape, storage::zeroed("recurrent state", check::state(shape)?)?))
    }

    fn step(&mut self) -> Result<HostStep, Error> {
        Ok(HostStep::default())
    }

    fn routes(&mut self, tokens: usize, top_k: usize) -> Result<HostRoutes, Error> {
        HostRoutes::new(tokens, top_k)
    }

    fn begin(&mut self, step: &mut HostStep, input: &StepInput<'_>) -> Result<(), Error> {
        step.begin(input)
    }

    fn embed(
        &mut self,
        step: &HostStep,
        list: usize,
        table: &CpuWeight,
        scale: f32,
        out: &mut CpuBuffer,
    ) -> Result<(), Error> {
        let (ids, width) = (step.ids(list)?, table.cols());
        check::sizes::ids("id to embed", ids, table.rows())?;
        let len = check::sizes::holds("embedded tokens", out.values.len(), &[ids.len(), width])?;
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

    fn gather(&mut self, step: &HostStep, x: &CpuBuffer, width: usize, out: &mut CpuBuffer) -> Result<(), Error> {
        check::sizes::holds("rows to gather from", x.values.len(), &[step.tokens(), width])?;
        let len = check::sizes::holds("gathered rows", out.values.len(), &[step.rows().len(), width])?;
        if width == 0 {
            return Ok(());
        }
        for (out, &row) in out.values[..len].chunks_exact_mut(width).zip(step.rows()) {
            let start = row as usize * width;
            out.copy_from_slice(&x.values[start..start + width]);
        }
        Ok(())
    }

    fn norm(&mut self, x: &CpuBuffer, rows: usize, norm: Norm<'_, Self>, out: &mut CpuBuffer) -> Result<(), Error> {
        let len = check::norm(x.values.len(), rows, &norm, CpuWeight::shape)?;
        check::sizes::holds("output of a norm", out.values.len(), &[len])?;
        let (width, norm) = (norm.width, row_norm(&norm));
        self.pieces(&mut out.values[..len], width, COSTLY_PIECE, &|start, out| {
            for (i, (x, out)) in x.values[start..].chunks_exact(width).zip(out.chunks_exact_mut(width)).enumerate() {
                out.copy_from_slice(x);
                self.elementwise.norm(out, norm.of_row(start / width + i, width));
            }
        })
    }

    fn norm_in_place(&mut self, x: &mut CpuBuffer, rows: usize, norm: Norm<'_, Self>) -> Result<(), Error> {
        let len = check::norm(x.values.len(), rows, &norm, CpuWeight::shape)?;
        let (width, norm) = (norm.width, row_norm(&norm));
        self.pieces(&mut x.values[..len], width, COSTLY_PIECE, &|start, x| {
            for (i, x) in x.chunks_exact_mut(width).enumerate() {
                self.elementwise.norm(x, norm.of_row(start / width + i, width));
            }
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

    fn route(
        &mut self,
        logits: &CpuBuffer,
        tokens: usize,
        rule: &RouteRule,
        bias: Option<&CpuWeight>,
        routes: &mut HostRoutes,
    ) -> Result<(), Error> {
        let logits = &logits.values;
        check::route(logits.len(), tokens, rule, bias.map(CpuWeight::shape), routes.capacity())?;
        let bias = bias.map(CpuWeight::vector);
        let choices = routes.choices(tokens, rule.top_k);
        // An expert costs an exponential in f64, and a look for each choice.
        let piece = (COSTLY_PIECE / 8 / rule.experts).max(1);
        let choices = Disjoint::new(choices);
        self.pool.for_each(tokens.div_ceil(piece), &|task| {
            let first = task * piece;
            // SAFETY: each task has tokens of its own.
            let choices = unsafe { choices.slice(first * rule.top_k, piece.min(tokens - first) * rule.top_k) };
            let mut router = Router::default();
            let logits = logits[first * rule.experts..].chunks_exact(rule.experts);
            for (choices, logits) in choices.chunks_exact_mut(rule.top_k).zip(logits) {
                router.choose(rule, logits, bias, choices);
            }
        })?;
        routes.sort(rule.experts);
        Ok(())
    }

    fn read_routes(&mut self, routes: &HostRoutes, rows: &mut Vec<u32>, ends: &mut Vec<usize>) -> Result<(), Error> {
        routes.read(rows, ends);
        Ok(())
    }

    fn spread_routed(
        &mut self,
        x: &CpuBuffer,
        routes: &HostRoutes,
        width: usize,
        out: &mut CpuBuffer,
    ) -> Result<(), Error> {
        check::routed_rows(x.values.len(), out.values.len(), routes, width)?;
        let len = routes.len() * width;
        self.pieces(&mut out.values[..len], width, CHEAP_PIECE, &|start, out| {
            for (out, route) in out.chunks_exact_mut(width).zip(start / width..) {
                let from = routes.rows()[route] as usize * width;
                out.copy_from_slice(&x.values[from..from + width]);
                self.elementwise.multiply(out, routes.weights()[route]);
            }
        })
    }

    fn matmul_experts(
        &mut self,
        x: &CpuBuffer,
        input: RoutedInput,
        routes: &HostRoutes,
        group: &mut [ExpertMatMul<'_, Self>],
    ) -> Result<(), Error> {
        let mut shapes = Vec::with_capacity(group.len());
        for product in &*group {
            let biases = product.biases.map(|biases| biases.iter().map(CpuWeight::shape));
            let weights = product.weights.iter().map(CpuWeight::shape);
            let (x_len, out_len) = (x.values.len(), product.out.values.len());
            shapes.push(check::expert_matmul(weights, biases, input, routes, x_len, out_len)?);
        }
        let Some(&[_, cols]) = shapes.first() else { return Ok(()) };
        shapes.iter().try_for_each(|shape| check::same_cols(cols, shape[1]))?;
        let routes = routes.routed(input);
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

    fn sum_routed(
        &mut self,
        y: &CpuBuffer,
        routes: &HostRoutes,
        weighted: bool,
        width: usize,
        out: &mut CpuBuffer,
    ) -> Result<(), Error> {
        check::routed_rows(out.values.len(), y.values.len(), routes, width)?;
        // A task adds up some columns of all routes, each in the order of the routes.
        let piece = (CHEAP_PIECE / routes.len().max(1)).max(16);
        let out = Disjoint::new(&mut out.values);
        self.pool.for_each(width.div_ceil(piece), &|task| {
            let (start, len) = (task * piece, piece.min(width - task * piece));
            for token in 0..routes.tokens() {
                // SAFETY: these columns are this task's, and the last borrow of them has ended.
                unsafe { out.slice(token * width + start, len) }.fill(0.0);
            }
            for (route, (&row, &weight)) in routes.rows().iter().zip(routes.weights()).enumerate() {
                // SAFETY: these columns are this task's, and the last borrow of them has ended.
                let out = unsafe { out.slice(row as usize * width + start, len) };
                let weight = if weighted { weight } else { 1.0 };
                self.elementwise.blend(out, 1.0, &y.values[route * width + start..][..len], weight);
            }
        })
    }

    fn rope(&mut self, step: &HostStep, x: &mut CpuBuffer, table: usize, rope: Rope) -> Result<(), Error> {
        let Rotation { cos, sin } = step.rotation(table)?;
        let len = check::rope(x.values.len(), step.tokens(), Rotation { cos, sin }, rope)?;
        let (width, half) = (rope.heads * rope.head_dim, rope.rotary_dim / 2);
        if len == 0 || half == 0 {
            return Ok(());
        }
        self.pieces(&mut x.values[..len], width, COSTLY_PIECE, &|start, x| {
            for (i, token) in x.chunks_exact_mut(width).enumerate() {
                let table = (start / width + i) * half;
                let (cos, sin) = (&cos[table..table + half], &sin[table..table + half]);
                for head in token.chunks_exact_mut(rope.head_dim) {
                    let part = &mut head[rope.offset..rope.offset + 2 * half];
                    match rope.style {
                        RopeStyle::Halves => self.elementwise.rotate_halves(part, cos, sin),
                        RopeStyle::Pairs => self.elementwise.rotate_pairs(part, cos, sin),
                    }
                }
            }
        })
    }

    fn append(
        &mut self,
        step: &HostStep,
        group: usize,
        kv: &mut CpuKv,
        keys: &CpuBuffer,
        values: &CpuBuffer,
    ) -> Result<(), Error> {
        let (keys, values, spans) = (&keys.values, &values.values, step.spans(group)?);
        check::append(kv.shape(), keys.len(), values.len(), step.tokens(), spans.clone())?;
        kv.append(&self.pool, keys, values, spans)
    }

    fn attention(
        &mut self,
        step: &HostStep,
        queries: &CpuBuffer,
        kv: &CpuKv,
        attention: Attention<'_, Self>,
        out: &mut CpuBuffer,
    ) -> Result<(), Error> {
        let (queries, out, spans) = (&queries.values, &mut out.values, step.spans(attention.group)?);
        let sinks = attention.sinks.map(CpuWeight::shape);
        check::attention(kv.shape(), &attention, sinks, queries.len(), out.len(), step.tokens(), spans)?;
        self.attention.run(&self.pool, &self.kernels, step, queries, kv, attention, out)
    }

    fn convolve(
        &mut self,
        step: &HostStep,
        x: &CpuBuffer,
        convolution: Convolution<'_, Self>,
        state: &mut HostState,
        out: &mut CpuBuffer,
    ) -> Result<(), Error> {
        let (x, out) = (&x.values, &mut out.values);
        check::convolution(step, &convolution, CpuWeight::shape, state.shape(), x.len(), out.len())?;
        let Convolution { channels, weight, bias, activation, .. } = convolution;
        if channels == 0 {
            return Ok(());
        }
        let (taps, bias) = (weight.taps(&self.kernels)?, bias.map(CpuWeight::vector));
        let slot_len = state.shape().len;
        let filter = Filter { channels, taps, bias, activation };
        recurrent::convolve(&self.pool, &self.kernels, step, x, &filter, (state.values(), slot_len), out)
    }

    fn scan(
        &mut self,
        step: &HostStep,
        mixed: &CpuBuffer,
        dt: &CpuBuffer,
        scan: SelectiveScan<'_, Self>,
        state: &mut HostState,
        out: &mut CpuBuffer,
    ) -> Result<(), Error> {
        let (mixed, dt, out) = (&mixed.values, &dt.values, &mut out.values);
        check::scan(step, &scan, CpuWeight::shape, state.shape(), [mixed.len(), dt.len(), out.len()])?;
        let slot_len = state.shape().len;
        recurrent::scan(&self.pool, &self.kernels, step, [mixed, dt], &scan, (state.values(), slot_len), out)
    }

    fn glu(&mut self, gate: &mut CpuBuffer, up: &CpuBuffer, len: usize, activation: Activation) -> Result<(), Error> {
        check::sizes::holds("gate", gate.values.len(), &[len])?;
        check::sizes::holds("up", up.values.len(), &[len])?;
        self.glu_of(&mut gate.values[..len], &up.values, activation)
    }

    fn activate(&mut self, x: &mut CpuBuffer, len: usize, activation: Activation) -> Result<(), Error> {
        check::plain_activation(activation)?;
        check::sizes::holds("activated values", x.values.len(), &[len])?;
        self.pieces(&mut x.values[..len], 1, COSTLY_PIECE, &|_, x| self.elementwise.activate(x, activation))
    }

    fn add(&mut self, x: &mut CpuBuffer, y: &CpuBuffer, len: usize, scale: f32) -> Result<(), Error> {
        check::sizes::holds("left summand", x.values.len(), &[len])?;
        check::sizes::holds("right summand", y.values.len(), &[len])?;
        self.pieces(&mut x.values[..len], 1, CHEAP_PIECE, &|start, x| {
            self.elementwise.add(x, &y.values[start..start + x.len()], scale);
        })
    }

    fn scale(&mut self, x: &mut CpuBuffer, len: usize, scale: f32) -> Result<(), Error> {
        check::sizes::holds("scaled values", x.values.len(), &[len])?;
        self.pieces(&mut x.values[..len], 1, CHEAP_PIECE, &|_, x| self.elementwise.multiply(x, scale))
    }

    fn scale_rows(&mut self, step: &HostStep, list: usize, x: &mut CpuBuffer, width: usize) -> Result<(), Error> {
        let factors = step.factors(list)?;
        let len = check::sizes::holds("scaled rows", x.values.len(), &[factors.len(), width])?;
        self.pieces(&mut x.values[..len], width, CHEAP_PIECE, &|start, x| {
            for (x, &factor) in x.chunks_exact_mut(width).zip(&factors[start / width..]) {
                self.elementwise.multiply(x, factor);
            }
        })
    }

    fn soft_cap(&mut self, x: &mut CpuBuffer, len: usize, cap: f32) -> Result<(), Error> {
        check::positive_cap(cap)?;
        check::sizes::holds("capped values", x.values.len(), &[len])?;
        self.pieces(&mut x.values[..len], 1, COSTLY_PIECE, &|_, x| self.elementwise.soft_cap(x, cap))
    }

    fn add_norm(
        &mut self,
        x: &mut CpuBuffer,
        y: &CpuBuffer,
        rows: usize,
        scale: f32,
        norm: Norm<'_, Self>,
        out: &mut CpuBuffer,
    ) -> Result<(), Error> {
        let (x_len, y_len) = (x.values.len(), y.values.len());
        let len = check::add_norm(x_len, y_len, rows, &norm, CpuWeight::shape, out.values.len())?;
        let x = Disjoint::new(&mut x.values[..len]);
        let (width, norm) = (norm.width, row_norm(&norm));
        self.pieces(&mut out.values[..len], width, COSTLY_PIECE, &|start, out| {
            // SAFETY: as `pieces` gives this task this part of `out` alone, so it has this part of `x` alone.
            let x = unsafe { x.slice(start, out.len()) };
            self.elementwise.add(x, &y.values[start..start + x.len()], scale);
            out.copy_from_slice(x);
            for (i, row) in out.chunks_exact_mut(width).enumerate() {
                self.elementwise.norm(row, norm.of_row(start / width + i, width));
            }
        })
    }
}

/// Returns a norm with its vectors in memory.
fn row_norm<'a>(norm: &Norm<'a, Cpu>) -> RowNorm<'a> {
    let &Norm { kind, eps, offset, weight, bias, .. } = norm;
    RowNorm { kind, eps, offset, weight: weight.map(CpuWeight::vector), bias: bias.map(CpuWeight::vector) }
}

#[cfg(test)]
pub(crate) mod tests;
