//! The closed list of operations on which the text path runs.
//!
//! A decoder is generic over [`Backend`]; the list is sealed, so that every backend can be held against the naive
//! [`Reference`](crate::Reference). Activations are f32 and row-major, one row per token: `[tokens, width]`.

use crate::error::Error;
use crate::kv_format::KvFormat;
pub use crate::routes::{HostRoutes, RoutedInput};
pub use crate::state::{HostState, StateShape};
pub use crate::step::{HostStep, Rotation, Run, StepInput, Visible};
use crate::weight::Weight;

pub(crate) mod sealed {
    /// Closes [`super::Backend`] to this crate.
    pub trait Sealed {}
}

/// The geometry of one layer's key and value storage: `blocks` blocks of `block_tokens` token slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvShape {
    /// Blocks in the pool; block tables hold ids below this.
    pub blocks: usize,
    /// Token slots per block. [`Cpu`](crate::Cpu) is fast for multiples of 16 and gathers slot by slot for others.
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

/// Normalisation of rows of `width` values, with an optional weight and bias.
pub struct Norm<'a, B: Backend> {
    /// How a row is normalised.
    pub kind: NormKind,
    /// Values per row. A per-head norm over `[tokens, heads * head_dim]` has `width = head_dim`.
    pub width: usize,
    /// Added to the mean square, or to the variance.
    pub eps: f32,
    /// Added to each weight: 1 for the Gemma family, whose weights are stored around zero. Ignored without a weight.
    pub offset: f32,
    /// `[groups * width]`, usually with one group: row `r` takes the part `r % groups`, and the number of rows is a multiple of `groups`
    /// (the gated norm of Mamba-2, whose groups of heads are normalised each by itself). `None` multiplies by 1.
    pub weight: Option<&'a B::Weight>,
    /// As [`weight`](Self::weight), with as many groups. `None` adds nothing.
    pub bias: Option<&'a B::Weight>,
}

impl<B: Backend> Clone for Norm<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Norm<'_, B> {}

/// Kinds of normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NormKind {
    /// `x / sqrt(mean(x²) + eps)`. Source: Zhang and Sennrich, 2019, arXiv:1910.07467.
    Rms,
    /// `(x - mean(x)) / sqrt(variance(x) + eps)`, with the variance of the whole row. Source: Ba et al., 2016, arXiv:1607.06450.
    Layer,
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
    /// Heads per token.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Index of the first rotated element of each head.
    pub offset: usize,
    /// Number of rotated elements of each head, from `offset` on; the others are left alone.
    pub rotary_dim: usize,
    /// Pairing of the elements.
    pub style: RopeStyle,
}

/// Attention of the queries of a step over the paged cache.
///
/// The score of a key is `scale * q·k`, then `cap * tanh(score / cap)`. The values are weighted by
/// `exp(score) / (exp(sink) + Σ exp(score))` over the visible keys; without a sink, by the plain softmax.
pub struct Attention<'a, B: Backend> {
    /// Query heads; a multiple of the cache's `kv_heads` (query head `h` reads kv head `h * kv_heads / heads`).
    pub heads: usize,
    /// Multiplies the scores.
    pub scale: f32,
    /// Which keys take part.
    pub visible: Visible,
    /// Soft cap of the scores (Gemma 2).
    pub soft_cap: Option<f32>,
    /// `[heads]`: one logit per query head, neither scaled nor capped, that takes part in the sum of exponentials and has no value: a head
    /// may look at nothing (gpt-oss). Source: Xiao et al., 2023, arXiv:2309.17453, in the form of a learned logit. `None`: no sinks.
    pub sinks: Option<&'a B::Weight>,
    /// Index into [`Run::tables`]: the group of layers that shares block tables with this one.
    pub group: usize,
}

impl<B: Backend> Clone for Attention<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Attention<'_, B> {}

/// Activation functions of feed-forward networks.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
    /// `x * Φ(x)` by the error function.
    Gelu,
    /// The tanh approximation of GELU.
    GeluTanh,
    /// `x * sigmoid(1.702 x)`.
    QuickGelu,
    /// `max(x, 0)`.
    Relu,
    /// `max(x, 0)²`. Source: So et al., 2021, arXiv:2109.08668.
    ReluSquared,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// For gated products only: the gate `g` is clamped from above and the other factor `u` to both sides, then
    /// `g * sigmoid(alpha * g) * (u + 1)` (gpt-oss). Elsewhere an [`Error::Shape`].
    ClampedSwiglu {
        /// Slope inside the sigmoid.
        alpha: f32,
        /// `g` becomes `min(g, limit)`, `u` becomes `clamp(u, -limit, limit)`.
        limit: f32,
    },
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
    /// Applied to the product with `gate`.
    pub activation: Activation,
    /// `[tokens, rows]`, overwritten.
    pub out: &'a mut B::Buffer,
}

/// How a router chooses experts for each row of its logits, and the weight of each choice.
///
/// Ties are broken by the lower index. The chosen experts of a row are in the order of falling scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RouteRule {
    /// Number of experts, the width of a row of logits.
    pub experts: usize,
    /// Experts per row; at least 1 and at most `experts`.
    pub top_k: usize,
    /// Turns logits into scores.
    pub score: RouteScore,
    /// Divides the weights of a row by their sum.
    pub normalize: bool,
    /// Multiplies the weights, after the division.
    pub scale: f32,
    /// Limits the choice to some groups of experts. Source: DeepSeek-AI, 2024, arXiv:2412.19437, section 2.1.2.
    pub groups: Option<RouteGroups>,
}

/// How router logits become scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RouteScore {
    /// Softmax over all experts.
    Softmax,
    /// Choice by the logits, then softmax over the logits of the chosen experts (gpt-oss, Granite).
    SoftmaxOfChosen,
    /// `1 / (1 + exp(-logit))` for each expert (DeepSeek V3, Llama 4).
    Sigmoid,
}

/// Experts in groups of equal size, of which only the best groups may be chosen from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteGroups {
    /// Number of groups; divides the number of experts.
    pub count: usize,
    /// Number of groups that stay.
    pub chosen: usize,
    /// A group is ranked by the sum of this many of its highest scores: 1 or 2.
    pub ranked_by: usize,
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

/// A causal depthwise convolution over the tokens of each run, one filter per channel:
/// `out[t, c] = activation(bias[c] + Σ_k weight[c, k] * x[t + 1 - kernel + k, c])`.
///
/// Inputs before the first token of a run are the last inputs of the sequence's previous run, kept in the state; they are zero for a
/// run at position 0. A state slot holds at least `(kernel - 1) * channels` values.
pub struct Convolution<'a, B: Backend> {
    /// Channels per token.
    pub channels: usize,
    /// Taps of a filter, the current token's included; at least 1.
    pub kernel: usize,
    /// `[channels, kernel]`.
    pub weight: &'a B::Weight,
    /// `[channels]`.
    pub bias: Option<&'a B::Weight>,
    /// Applied to the sums. `None` leaves them.
    pub activation: Option<Activation>,
}

/// The selective state-space recurrence of Mamba-2, for each head `h` of each run, token after token:
/// `d = clamp(softplus(dt[t, h] + dt_bias[h]), low, high)`, `S = exp(d * a[h]) * S + d * x[t, h] ⊗ b[t, g]`,
/// `out[t, h] = S · c[t, g] + skip[h] * x[t, h]`, with `g = h * groups / heads` and `S` of shape `[head_dim, state_dim]`.
///
/// `S` is zero before a run at position 0. A state slot holds at least `heads * head_dim * state_dim` values.
/// Source: Dao and Gu, 2024, arXiv:2405.21060.
pub struct SelectiveScan<'a, B: Backend> {
    /// Heads per token.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Groups of heads that share `b` and `c`; divides `heads`.
    pub groups: usize,
    /// Width of `b` and `c`.
    pub state_dim: usize,
    /// `[heads]`: `a`, negative numbers.
    pub a: &'a B::Weight,
    /// `[heads]`: factors of the input that skips the state.
    pub skip: &'a B::Weight,
    /// `[heads]`: added to the time steps before the softplus.
    pub dt_bias: &'a B::Weight,
    /// Bounds of a time step.
    pub dt_limit: (f32, f32),
}

/// The operations. Buffers hold at least what an operation names; more is left alone. `tokens` counts rows of activations.
///
/// The host's part of a step is in the [`Step`](Self::Step), which [`begin`](Self::begin) fills once before the first operation.
/// Operations name its lists by number. No operation returns data to the host but [`read`](Self::read) and
/// [`read_routes`](Self::read_routes), so that the operations of a step can be recorded and replayed.
///
/// A row of the result depends on its own row of the input, on its position, and on the cache and the state before it. NaN and
/// infinities spread within their row as f32 arithmetic has it, and to later positions of their sequence through the cache. Whether
/// a row is equal to the bit alone and next to others, in chunks and whole, is a property of the backend; see [`Cpu`](crate::Cpu).
///
/// # Errors
/// Every operation checks the lengths and ids it is given and returns [`Error::Shape`] or [`Error::OutOfRange`] before it
/// writes anything; no operation panics. [`Error::WorkerPanicked`] would be a defect of this crate; the outputs are then undefined.
pub trait Backend: sealed::Sealed + Send + Sized + 'static {
    /// f32 activations on the device.
    type Buffer: Send;
    /// A weight where the device can read it.
    type Weight: Send + Sync;
    /// Keys and values of one layer.
    type Kv: Send;
    /// Recurrent state of one layer.
    type State: Send;
    /// The host's part of a step, where the device can read it.
    type Step: Send;
    /// The choice of a router for each token of a step.
    type Routes: Send;

    /// Returns a buffer of `len` zeros.
    fn buffer(&mut self, len: usize) -> Result<Self::Buffer, Error>;
    /// Copies `values` to the start of `buffer`.
    fn write(&mut self, buffer: &mut Self::Buffer, values: &[f32]) -> Result<(), Error>;
    /// Copies `values.len()` elements from `offset` of `buffer`.
    fn read(&mut self, buffer: &Self::Buffer, offset: usize, values: &mut [f32]) -> Result<(), Error>;
    /// Makes a weight usable; zero copy where the device reads host memory. [`Error::UnsupportedFormat`] where there is no arithmetic.
    fn weight(&mut self, weight: Weight) -> Result<Self::Weight, Error>;
    /// Returns storage for one layer, contents undefined until written.
    fn kv(&mut self, shape: KvShape) -> Result<Self::Kv, Error>;
    /// Returns recurrent state for one layer, zeros.
    fn state(&mut self, shape: StateShape) -> Result<Self::State, Error>;
    /// Returns an empty step; [`begin`](Self::begin) fills it again and again.
    fn step(&mut self) -> Result<Self::Step, Error>;
    /// Returns room for the routes of steps of up to `tokens` tokens and `top_k` experts each.
    fn routes(&mut self, tokens: usize, top_k: usize) -> Result<Self::Routes, Error>;
    /// Checks what the host knows of a step and makes it readable by the device. Nothing else goes up before the step ends.
    fn begin(&mut self, step: &mut Self::Step, input: &StepInput<'_>) -> Result<(), Error>;

    /// `out[i] = scale * table[ids[i]]` for list `list` of [`StepInput::ids`]; table `[vocab, width]`, out `[tokens, width]`.
    fn embed(
        &mut self,
        step: &Self::Step,
        list: usize,
        table: &Self::Weight,
        scale: f32,
        out: &mut Self::Buffer,
    ) -> Result<(), Error>;
    /// `out[i] = x[rows[i]]` for [`StepInput::rows`], with rows of `width`.
    fn gather(
        &mut self,
        step: &Self::Step,
        x: &Self::Buffer,
        width: usize,
        out: &mut Self::Buffer,
    ) -> Result<(), Error>;
    /// Normalises `rows` rows of `norm.width`.
    fn norm(
        &mut self,
        x: &Self::Buffer,
        rows: usize,
        norm: Norm<'_, Self>,
        out: &mut Self::Buffer,
    ) -> Result<(), Error>;
    /// Normalises in place (per-head norms of queries and keys).
    fn norm_in_place(&mut self, x: &mut Self::Buffer, rows: usize, norm: Norm<'_, Self>) -> Result<(), Error>;
    /// A group of products over one input `x` `[tokens, cols]`, so that its preparation is paid once.
    fn matmul(&mut self, x: &Self::Buffer, tokens: usize, group: &mut [MatMul<'_, Self>]) -> Result<(), Error>;
    /// Two products over one input `x` `[tokens, cols]`, of which only one output is written: the result of
    /// [`matmul`](Self::matmul) followed by [`glu`](Self::glu).
    fn matmul_glu(&mut self, x: &Self::Buffer, tokens: usize, product: GluMatMul<'_, Self>) -> Result<(), Error>;
    /// Chooses experts: `logits` is `[tokens, rule.experts]`, `bias` `[experts]` is added to the scores for the choice alone
    /// (DeepSeek V3), not to the weights. `routes` has `tokens * rule.top_k` routes afterwards, in an order that the backend chooses.
    fn route(
        &mut self,
        logits: &Self::Buffer,
        tokens: usize,
        rule: &RouteRule,
        bias: Option<&Self::Weight>,
        routes: &mut Self::Routes,
    ) -> Result<(), Error>;
    /// Copies the routes to the host, expert after expert: the token of each route, and for each expert the end of its routes. For
    /// observation and tests: no operation of a step needs this.
    fn read_routes(&mut self, routes: &Self::Routes, rows: &mut Vec<u32>, ends: &mut Vec<usize>) -> Result<(), Error>;
    /// `out[route] = weight of the route * x[token of the route]` with rows of `width`: experts whose input is weighted (Llama 4).
    fn spread_routed(
        &mut self,
        x: &Self::Buffer,
        routes: &Self::Routes,
        width: usize,
        out: &mut Self::Buffer,
    ) -> Result<(), Error>;
    /// A group of products of routed rows with the weights of their experts. Experts without routes cost nothing.
    fn matmul_experts(
        &mut self,
        x: &Self::Buffer,
        input: RoutedInput,
        routes: &Self::Routes,
        group: &mut [ExpertMatMul<'_, Self>],
    ) -> Result<(), Error>;
    /// Adds up the routes of each token: `out[token] = Σ w * y[route]`, with `y` `[routes, width]` and `out` `[tokens, width]`, which is
    /// overwritten. `w` is the weight of the route if `weighted`, else 1. The routes of a token are added in one fixed order.
    fn sum_routed(
        &mut self,
        y: &Self::Buffer,
        routes: &Self::Routes,
        weighted: bool,
        width: usize,
        out: &mut Self::Buffer,
    ) -> Result<(), Error>;
    /// Rotates `[tokens, rope.heads * rope.head_dim]` by table `table` of [`StepInput::rotations`].
    fn rope(&mut self, step: &Self::Step, x: &mut Self::Buffer, table: usize, rope: Rope) -> Result<(), Error>;
    /// Stores keys `[tokens, kv_heads * key_dim]` and values `[tokens, kv_heads * value_dim]` at the positions of the runs, by the block
    /// tables of `group`. Of two runs that name the same slot the later one wins.
    fn append(
        &mut self,
        step: &Self::Step,
        group: usize,
        kv: &mut Self::Kv,
        keys: &Self::Buffer,
        values: &Self::Buffer,
    ) -> Result<(), Error>;
    /// Queries `[tokens, heads * key_dim]` to out `[tokens, heads * value_dim]`. Rows that belong to no run are left alone. Blocks
    /// that lie wholly before what the first query of a run sees are not looked at: their ids may be stale.
    fn attention(
        &mut self,
        step: &Self::Step,
        queries: &Self::Buffer,
        kv: &Self::Kv,
        attention: Attention<'_, Self>,
        out: &mut Self::Buffer,
    ) -> Result<(), Error>;
    /// Convolves `x` `[tokens, channels]` to `out` of the same shape, and keeps the last inputs of each run in its slot.
    fn convolve(
        &mut self,
        step: &Self::Step,
        x: &Self::Buffer,
        convolution: Convolution<'_, Self>,
        state: &mut Self::State,
        out: &mut Self::Buffer,
    ) -> Result<(), Error>;
    /// Scans `mixed`, which is for each token `x` `[heads, head_dim]`, `b` `[groups, state_dim]`, `c` `[groups, state_dim]` one after
    /// another, with the time steps `dt` `[tokens, heads]`, to `out` `[tokens, heads * head_dim]`.
    fn scan(
        &mut self,
        step: &Self::Step,
        mixed: &Self::Buffer,
        dt: &Self::Buffer,
        scan: SelectiveScan<'_, Self>,
        state: &mut Self::State,
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
    /// `x[i] = activation(x[i])` for the first `len` elements.
    fn activate(&mut self, x: &mut Self::Buffer, len: usize, activation: Activation) -> Result<(), Error>;
    /// `x[i] += scale * y[i]` for the first `len` elements.
    fn add(&mut self, x: &mut Self::Buffer, y: &Self::Buffer, len: usize, scale: f32) -> Result<(), Error>;
    /// `x[i] *= scale` for the first `len` elements.
    fn scale(&mut self, x: &mut Self::Buffer, len: usize, scale: f32) -> Result<(), Error>;
    /// `x[t, j] *= factors[t]` for list `list` of [`StepInput::factors`], with rows of `width` (queries of Llama 4).
    fn scale_rows(&mut self, step: &Self::Step, list: usize, x: &mut Self::Buffer, width: usize) -> Result<(), Error>;
    /// `x[i] = cap * tanh(x[i] / cap)` for the first `len` elements.
    fn soft_cap(&mut self, x: &mut Self::Buffer, len: usize, cap: f32) -> Result<(), Error>;

    /// `x += scale * y`, then `out = norm(x)`: the seam between two blocks, in one pass over the row. The results are
    /// those of [`add`](Self::add) followed by [`norm`](Self::norm).
    fn add_norm(
        &mut self,
        x: &mut Self::Buffer,
        y: &Self::Buffer,
        rows: usize,
        scale: f32,
        norm: Norm<'_, Self>,
        out: &mut Self::Buffer,
    ) -> Result<(), Error>;
}
