//! The closed list of operations on which the text path runs.
//!
//! A decoder is generic over [`Backend`]; the list is sealed, so that every backend can be held against the naive
//! [`Reference`](crate::Reference). Activations are f32 and row-major, one row a token: `[tokens, width]`.

use std::ops::Range;

use crate::{Error, KvFormat, Weight};

pub(crate) mod sealed {
    /// Closes [`super::Backend`] to this crate.
    pub trait Sealed {}
}

/// The geometry of one layer's key and value storage: `blocks` blocks of `block_tokens` token slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvShape {
    /// Blocks in the pool; block tables hold ids below this.
    pub blocks: usize,
    /// Token slots a block. [`Cpu`](crate::Cpu) is fast for multiples of 16 and gathers slot by slot for others.
    pub block_tokens: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of one key head.
    pub key_dim: usize,
    /// Width of one value head.
    pub value_dim: usize,
    /// How keys are kept.
    pub key_format: KvFormat,
    /// How values are kept.
    pub value_format: KvFormat,
}

/// A run of consecutive tokens of one sequence inside a batch.
#[derive(Debug, Clone, Copy)]
pub struct Span<'a> {
    /// Row of the first token in the batch.
    pub start: usize,
    /// Number of tokens, at least 1.
    pub tokens: usize,
    /// Position of the first token in its sequence; the cache holds all earlier positions.
    pub position: usize,
    /// Cache blocks of the sequence: position `p` lies in slot `p % block_tokens` of block `blocks[p / block_tokens]`.
    pub blocks: &'a [u32],
}

/// Root-mean-square normalisation of rows of `width` values: `x / sqrt(mean(x²) + eps) * (offset + weight)`.
/// Source: Zhang and Sennrich, 2019, arXiv:1910.07467; `offset` is 1 for the Gemma family (weights stored around zero).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RmsNorm {
    /// Values a row. A per-head norm over `[tokens, heads * head_dim]` has `width = head_dim`.
    pub width: usize,
    /// Added to the mean square.
    pub eps: f32,
    /// Added to each weight.
    pub offset: f32,
}

/// Which two elements of a head one rotation turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RopeStyle {
    /// Element `i` with `i + rotary_dim / 2` (Hugging Face weights; GPT-NeoX).
    Halves,
    /// Element `2i` with `2i + 1` (the original Llama weights; GGUF's `llama`).
    Pairs,
}

/// Rotary position embedding of `[tokens, heads * head_dim]`, in place. Source: Su et al., 2021, arXiv:2104.09864.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rope {
    /// Heads a token.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// The first `rotary_dim` elements of each head are turned, the rest is left alone.
    pub rotary_dim: usize,
    /// Pairing of the elements.
    pub style: RopeStyle,
}

/// Causal attention of the queries of a batch over the paged cache.
/// For a query at position `p`: keys at `max(0, p + 1 - window)..=p`; score = `scale * q·k`, then `cap * tanh(score / cap)`; the
/// values are weighted by `exp(score) / (exp(sink) + Σ exp(score))`, without a sink by the plain softmax.
pub struct Attention<'a, B: Backend> {
    /// Query heads; a multiple of the cache's `kv_heads` (query head `h` reads kv head `h * kv_heads / heads`).
    pub heads: usize,
    /// Multiplies the scores.
    pub scale: f32,
    /// Sliding window: how many positions, the query's own included, are seen. `None`: all.
    pub window: Option<usize>,
    /// Soft cap of the scores (Gemma 2).
    pub soft_cap: Option<f32>,
    /// `[heads]`: a logit a query head, neither scaled nor capped, that takes part in the sum of exponentials and has no value: a head
    /// may look at nothing (gpt-oss). Source: Xiao et al., 2023, arXiv:2309.17453, in the form of a learned logit. `None`: no sinks.
    pub sinks: Option<&'a B::Weight>,
    /// The sequences of the batch.
    pub spans: &'a [Span<'a>],
}

impl<B: Backend> Clone for Attention<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Attention<'_, B> {}

/// Activation functions of feed-forward networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
    /// `x * Φ(x)` by the error function.
    Gelu,
    /// The tanh approximation of GELU.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
}

/// One product of a group that shares its input: `out[tokens, rows] = x[tokens, cols] · weightᵀ + bias`.
pub struct MatMul<'a, B: Backend> {
    /// `[rows, cols]`.
    pub weight: &'a B::Weight,
    /// `[rows]`, added to each output row.
    pub bias: Option<&'a B::Weight>,
    /// `[tokens, rows]`, overwritten.
    pub out: &'a mut B::Buffer,
}

/// The gated half of a feed-forward network: `out = activation(x · gateᵀ + gate_bias) * (x · upᵀ + up_bias)`.
/// Source: Shazeer, 2020, arXiv:2002.05202.
pub struct GluMatMul<'a, B: Backend> {
    /// `[rows, cols]`.
    pub gate: &'a B::Weight,
    /// `[rows, cols]`.
    pub up: &'a B::Weight,
    /// `[rows]` each, added to the products with `gate` and `up`.
    pub biases: [Option<&'a B::Weight>; 2],
    /// What the gate goes through.
    pub activation: Activation,
    /// `[tokens, rows]`, overwritten.
    pub out: &'a mut B::Buffer,
}

/// Which rows of activations go to which expert of a mixture: routes, expert after expert.
///
/// ```
/// // Rows 0 and 2 go to expert 0, none to expert 1, rows 0 and 1 to expert 2.
/// let routes = mistral_quant::Routes { rows: &[0, 2, 0, 1], ends: &[2, 2, 4] };
/// assert_eq!(routes.of(2), 2..4);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Routes<'a> {
    /// `[routes]`: the row of each route.
    pub rows: &'a [u32],
    /// `[experts]`: where the routes of each expert end; ascending, the last one is the number of routes.
    pub ends: &'a [usize],
}

impl Routes<'_> {
    /// The routes of an expert; empty for one that does not exist.
    pub fn of(&self, expert: usize) -> Range<usize> {
        let Some(&end) = self.ends.get(expert) else { return 0..0 };
        expert.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0)..end
    }
}

/// One product of a group over the same routed input: `out[route] = x[row of the route] · weight[expert of the route]ᵀ + bias[expert]`.
pub struct ExpertMatMul<'a, B: Backend> {
    /// For each expert `[rows, cols]`. Of stacked weights these are slices of their rows ([`Weight::slice_rows`]).
    pub weights: &'a [B::Weight],
    /// For each expert `[rows]`.
    pub biases: Option<&'a [B::Weight]>,
    /// `[routes, rows]`, overwritten.
    pub out: &'a mut B::Buffer,
}

/// The operations. Buffers hold at least what an operation names; more is left alone. `tokens` counts rows of activations.
///
/// A row of the result depends on its own row of the input, on its position, and on the cache before it: to the bit it is the same alone
/// or beside other rows, in one chunk or in many, on any number of threads. NaN and infinities spread within their row as f32
/// arithmetic has it, and to later positions of their sequence through the cache.
///
/// # Errors
/// Every operation checks the lengths and ids it is given and answers [`Error::Shape`] or [`Error::OutOfRange`] before it
/// writes anything; no operation panics. [`Error::WorkerPanicked`] would be a defect of this crate; the outputs are then undefined.
pub trait Backend: sealed::Sealed + Send + Sized + 'static {
    /// f32 activations on the device.
    type Buffer: Send;
    /// A weight where the device can read it.
    type Weight: Send + Sync;
    /// Keys and values of one layer.
    type Kv: Send;

    /// A buffer of `len` zeros.
    fn buffer(&mut self, len: usize) -> Result<Self::Buffer, Error>;
    /// Copies `values` to the start of `buffer`.
    fn write(&mut self, buffer: &mut Self::Buffer, values: &[f32]) -> Result<(), Error>;
    /// Copies `values.len()` elements from `offset` of `buffer`.
    fn read(&mut self, buffer: &Self::Buffer, offset: usize, values: &mut [f32]) -> Result<(), Error>;
    /// Makes a weight usable; zero copy where the device reads host memory. [`Error::UnsupportedFormat`] where there is no arithmetic.
    fn weight(&mut self, weight: Weight) -> Result<Self::Weight, Error>;
    /// [`weight`](Self::weight) for a matrix that GGUF files call `name`, or a part of it: slices of one fused matrix and the experts of
    /// one stack share their name. Only a backend that watches its products ([`Observed`](crate::Observed)) has a use for it.
    fn named_weight(&mut self, _name: &str, weight: Weight) -> Result<Self::Weight, Error> {
        self.weight(weight)
    }
    /// Storage for one layer, contents undefined until written.
    fn kv(&mut self, shape: KvShape) -> Result<Self::Kv, Error>;

    /// `out[i] = scale * table[ids[i]]`; table `[vocab, width]`, out `[ids, width]`.
    fn embed(&mut self, table: &Self::Weight, ids: &[u32], scale: f32, out: &mut Self::Buffer) -> Result<(), Error>;
    /// `out[i] = x[rows[i]]` with rows of `width`.
    fn gather(&mut self, x: &Self::Buffer, rows: &[u32], width: usize, out: &mut Self::Buffer) -> Result<(), Error>;
    /// Normalises `rows` rows of `norm.width`; weight `[width]`.
    fn rms_norm(
        &mut self,
        x: &Self::Buffer,
        rows: usize,
        weight: &Self::Weight,
        norm: RmsNorm,
        out: &mut Self::Buffer,
    ) -> Result<(), Error>;
    /// The same in place (per-head norms of queries and keys).
    fn rms_norm_in_place(
        &mut self,
        x: &mut Self::Buffer,
        rows: usize,
        weight: &Self::Weight,
        norm: RmsNorm,
    ) -> Result<(), Error>;
    /// A group of products over one input `x` `[tokens, cols]`, so that its preparation is paid once.
    fn matmul(&mut self, x: &Self::Buffer, tokens: usize, group: &mut [MatMul<'_, Self>]) -> Result<(), Error>;
    /// Two products over one input `x` `[tokens, cols]`, of which only one output is written. Equal to the bit to
    /// [`matmul`](Self::matmul) followed by [`glu`](Self::glu).
    fn matmul_glu(&mut self, x: &Self::Buffer, tokens: usize, product: GluMatMul<'_, Self>) -> Result<(), Error>;
    /// A group of products of routed rows of `x` `[.., cols]` with the weights of their experts. Experts without routes cost nothing.
    fn matmul_experts(
        &mut self,
        x: &Self::Buffer,
        routes: Routes<'_>,
        group: &mut [ExpertMatMul<'_, Self>],
    ) -> Result<(), Error>;
    /// `out[row of the route] += weights[route] * y[route]` with rows of `width`, route after route.
    fn add_routed(
        &mut self,
        out: &mut Self::Buffer,
        y: &Self::Buffer,
        routes: Routes<'_>,
        weights: &[f32],
        width: usize,
    ) -> Result<(), Error>;
    /// Rotates; `cos` and `sin` are `[tokens, rotary_dim / 2]`.
    fn rope(
        &mut self,
        x: &mut Self::Buffer,
        tokens: usize,
        cos: &Self::Buffer,
        sin: &Self::Buffer,
        rope: Rope,
    ) -> Result<(), Error>;
    /// Stores keys `[tokens, kv_heads * key_dim]` and values `[tokens, kv_heads * value_dim]` at the positions of the spans. Of two
    /// spans that name the same slot the later one wins.
    fn append(
        &mut self,
        kv: &mut Self::Kv,
        keys: &Self::Buffer,
        values: &Self::Buffer,
        spans: &[Span<'_>],
    ) -> Result<(), Error>;
    /// Queries `[tokens, heads * key_dim]` to out `[tokens, heads * value_dim]`. Spans share no row; rows that belong to none are left
    /// alone. Blocks that lie wholly before the window of a span's first query are not looked at: their ids may be stale.
    fn attention(
        &mut self,
        queries: &Self::Buffer,
        kv: &Self::Kv,
        attention: Attention<'_, Self>,
        out: &mut Self::Buffer,
    ) -> Result<(), Error>;
    /// `gate[i] = activation(gate[i]) * up[i]` for the first `len` elements.
    fn glu(
        &mut self,
        gate: &mut Self::Buffer,
        up: &Self::Buffer,
        len: usize,
        activation: Activation,
    ) -> Result<(), Error>;
    /// `x[i] += y[i]` for the first `len` elements.
    fn add(&mut self, x: &mut Self::Buffer, y: &Self::Buffer, len: usize) -> Result<(), Error>;
    /// `x[i] = cap * tanh(x[i] / cap)` for the first `len` elements.
    fn soft_cap(&mut self, x: &mut Self::Buffer, len: usize, cap: f32) -> Result<(), Error>;

    /// `x += y`, then `out = norm(x)`: the seam between two blocks, in one pass over the row. Equal to the bit to
    /// [`add`](Self::add) followed by [`rms_norm`](Self::rms_norm).
    fn add_rms_norm(
        &mut self,
        x: &mut Self::Buffer,
        y: &Self::Buffer,
        rows: usize,
        weight: &Self::Weight,
        norm: RmsNorm,
        out: &mut Self::Buffer,
    ) -> Result<(), Error>;
}
