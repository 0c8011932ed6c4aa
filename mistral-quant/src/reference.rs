//! The definition of every operation as the loop that is plainly right, in f64; the oracle of all backends.

use crate::backend::sealed::Sealed;
use crate::backend::{
    Activation, Attention, Backend, Convolution, ExpertMatMul, GluMatMul, KvShape, MatMul, Norm, NormKind, Rope,
    RopeStyle, RouteRule, SelectiveScan,
};
use crate::check;
use crate::error::Error;
use crate::formats::decode_row;
use crate::routes::HostRoutes;
use crate::routes::RoutedInput;
use crate::state::HostState;
use crate::state::StateShape;
use crate::step::Span;
use crate::step::Visible;
use crate::step::{HostStep, Rotation, StepInput};
use crate::weight::Weight;

mod recurrent;
mod route;

/// The naive backend: one thread, no SIMD, sums in f64, every intermediate result rounded to f32 once.
///
/// It computes with every format that can be decoded and takes minutes where [`Cpu`](crate::Cpu) takes a second: use it to
/// check a backend or a model, not to serve one.
///
/// ```
/// use mistral_quant::{Backend, Reference};
/// let mut backend = Reference;
/// let mut x = backend.buffer(3)?;
/// backend.write(&mut x, &[1.0, -2.0])?;
/// let y = x.clone();
/// backend.add(&mut x, &y, 2, 1.0)?;
/// assert_eq!(x, [2.0, -4.0, 0.0]);
/// # Ok::<(), mistral_quant::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Reference;

/// Keys `[blocks, block_tokens, kv_heads, key_dim]` and values of one layer, rounded to the cache's format.
#[derive(Debug, Clone)]
pub struct ReferenceKv {
    shape: KvShape,
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl Sealed for Reference {}

impl Backend for Reference {
    type Buffer = Vec<f32>;
    type Weight = Weight;
    type Kv = ReferenceKv;
    type State = HostState;
    type Step = HostStep;
    type Routes = HostRoutes;

    fn buffer(&mut self, len: usize) -> Result<Vec<f32>, Error> {
        zeros("a buffer", len)
    }

    fn write(&mut self, buffer: &mut Vec<f32>, values: &[f32]) -> Result<(), Error> {
        check::sizes::holds("written buffer", buffer.len(), &[values.len()])?;
        buffer[..values.len()].copy_from_slice(values);
        Ok(())
    }

    fn read(&mut self, buffer: &Vec<f32>, offset: usize, values: &mut [f32]) -> Result<(), Error> {
        let range = check::sizes::range("read buffer", buffer.len(), offset, values.len())?;
        values.copy_from_slice(&buffer[range]);
        Ok(())
    }

    fn weight(&mut self, weight: Weight) -> Result<Weight, Error> {
        row(&weight, 0)?;
        Ok(weight)
    }

    fn kv(&mut self, shape: KvShape) -> Result<ReferenceKv, Error> {
        let (keys, values) = check::kv(shape)?;
        Ok(ReferenceKv { shape, keys: zeros("cached keys", keys)?, values: zeros("cached values", values)? })
    }

    fn state(&mut self, shape: StateShape) -> Result<HostState, Error> {
        Ok(HostState::new(shape, zeros("recurrent state", check::state(shape)?)?))
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
        table: &Weight,
        scale: f32,
        out: &mut Vec<f32>,
    ) -> Result<(), Error> {
        let ids = step.ids(list)?;
        check::sizes::ids("id to embed", ids, table.rows())?;
        check::sizes::holds("embedded tokens", out.len(), &[ids.len(), table.cols()])?;
        for (i, &id) in ids.iter().enumerate() {
            for (j, value) in row(table, id as usize)?.into_iter().enumerate() {
                out[i * table.cols() + j] = scale * value;
            }
        }
        Ok(())
    }

    fn gather(&mut self, step: &HostStep, x: &Vec<f32>, width: usize, out: &mut Vec<f32>) -> Result<(), Error> {
        check::sizes::holds("rows to gather from", x.len(), &[step.tokens(), width])?;
        check::sizes::holds("gathered rows", out.len(), &[step.rows().len(), width])?;
        for (i, &row) in step.rows().iter().enumerate() {
            for j in 0..width {
                out[i * width + j] = x[row as usize * width + j];
            }
        }
        Ok(())
    }

    fn norm(&mut self, x: &Vec<f32>, rows: usize, norm: Norm<'_, Self>, out: &mut Vec<f32>) -> Result<(), Error> {
        let len = check::norm(x.len(), rows, &norm, Weight::shape)?;
        check::sizes::holds("output of a norm", out.len(), &[len])?;
        out[..len].copy_from_slice(&x[..len]);
        self.norm_in_place(out, rows, norm)
    }

    fn norm_in_place(&mut self, x: &mut Vec<f32>, rows: usize, norm: Norm<'_, Self>) -> Result<(), Error> {
        let len = check::norm(x.len(), rows, &norm, Weight::shape)?;
        let weight = norm.weight.map(|weight| row(weight, 0)).transpose()?;
        let bias = norm.bias.map(|bias| row(bias, 0)).transpose()?;
        for (row, x) in x[..len].chunks_exact_mut(norm.width.max(1)).enumerate() {
            let (width, first) = (norm.width as f64, row * norm.width);
            let mean = match norm.kind {
                NormKind::Rms => 0.0,
                NormKind::Layer => x.iter().map(|&x| f64::from(x)).sum::<f64>() / width,
            };
            let variance = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / width;
            let scale = 1.0 / (variance + f64::from(norm.eps)).sqrt();
            for (i, x) in x.iter_mut().enumerate() {
                let factor = weight
                    .as_ref()
                    .map_or(1.0, |weight| f64::from(norm.offset) + f64::from(weight[(first + i) % weight.len()]));
                let bias = bias.as_ref().map_or(0.0, |bias| f64::from(bias[(first + i) % bias.len()]));
                *x = ((f64::from(*x) - mean) * scale * factor + bias) as f32;
            }
        }
        Ok(())
    }

    fn matmul(&mut self, x: &Vec<f32>, tokens: usize, group: &mut [MatMul<'_, Self>]) -> Result<(), Error> {
        for product in &*group {
            check::matmul(product.weight.shape(), product.bias.map(Weight::shape), tokens, x.len(), product.out.len())?;
        }
        for MatMul { weight, bias, out } in group {
            let (rows, cols) = (weight.rows(), weight.cols());
            let bias = bias.map(|bias| row(bias, 0)).transpose()?;
            for i in 0..rows {
                let w = row(weight, i)?;
                for t in 0..tokens {
                    let start = bias.as_ref().map_or(0.0, |bias| f64::from(bias[i]));
                    let sum = start + dot(&w, &x[t * cols..(t + 1) * cols]);
                    out[t * rows + i] = sum as f32;
                }
            }
        }
        Ok(())
    }

    fn matmul_glu(&mut self, x: &Vec<f32>, tokens: usize, product: GluMatMul<'_, Self>) -> Result<(), Error> {
        let GluMatMul { gate, up, biases: [gate_bias, up_bias], activation, out } = product;
        check::glu_matmul(
            gate.shape(),
            up.shape(),
            [gate_bias, up_bias].map(|bias| bias.map(Weight::shape)),
            tokens,
            x.len(),
            out.len(),
        )?;
        let mut scaled = vec![0.0; tokens * up.rows()];
        self.matmul(
            x,
            tokens,
            &mut [
                MatMul { weight: gate, bias: gate_bias, out: &mut *out },
                MatMul { weight: up, bias: up_bias, out: &mut scaled },
            ],
        )?;
        self.glu(out, &scaled, scaled.len(), activation)
    }

    fn route(
        &mut self,
        logits: &Vec<f32>,
        tokens: usize,
        rule: &RouteRule,
        bias: Option<&Weight>,
        routes: &mut HostRoutes,
    ) -> Result<(), Error> {
        check::route(logits.len(), tokens, rule, bias.map(Weight::shape), routes.capacity())?;
        let bias = bias.map_or(zeros("biases of a route", rule.experts), |bias| row(bias, 0))?;
        let choices = routes.choices(tokens, rule.top_k);
        for (choices, logits) in choices.chunks_mut(rule.top_k).zip(logits.chunks(rule.experts)) {
            choices.copy_from_slice(&route::chosen(logits, &bias, rule));
        }
        routes.sort(rule.experts);
        Ok(())
    }

    fn read_routes(&mut self, routes: &HostRoutes, rows: &mut Vec<u32>, ends: &mut Vec<usize>) -> Result<(), Error> {
        routes.read(rows, ends);
        Ok(())
    }

    fn spread_routed(
        &mut self,
        x: &Vec<f32>,
        routes: &HostRoutes,
        width: usize,
        out: &mut Vec<f32>,
    ) -> Result<(), Error> {
        check::routed_rows(x.len(), out.len(), routes, width)?;
        for (route, (&row, &weight)) in routes.rows().iter().zip(routes.weights()).enumerate() {
            for i in 0..width {
                out[route * width + i] = weight * x[row as usize * width + i];
            }
        }
        Ok(())
    }

    fn matmul_experts(
        &mut self,
        x: &Vec<f32>,
        input: RoutedInput,
        routes: &HostRoutes,
        group: &mut [ExpertMatMul<'_, Self>],
    ) -> Result<(), Error> {
        let mut common = None;
        for product in &*group {
            let biases = product.biases.map(|biases| biases.iter().map(Weight::shape));
            let weights = product.weights.iter().map(Weight::shape);
            let [_, cols] = check::expert_matmul(weights, biases, input, routes, x.len(), product.out.len())?;
            check::same_cols(*common.get_or_insert(cols), cols)?;
        }
        let routed = routes.routed(input);
        for ExpertMatMul { weights, biases, out } in group {
            for (expert, weight) in weights.iter().enumerate() {
                let (rows, cols) = (weight.rows(), weight.cols());
                let bias = biases.and_then(|biases| biases.get(expert)).map(|bias| row(bias, 0)).transpose()?;
                for i in 0..rows {
                    let w = row(weight, i)?;
                    for route in routed.of(expert) {
                        let token = routed.rows[route] as usize;
                        let start = bias.as_ref().map_or(0.0, |bias| f64::from(bias[i]));
                        out[route * rows + i] = (start + dot(&w, &x[token * cols..(token + 1) * cols])) as f32;
                    }
                }
            }
        }
        Ok(())
    }

    fn sum_routed(
        &mut self,
        y: &Vec<f32>,
        routes: &HostRoutes,
        weighted: bool,
        width: usize,
        out: &mut Vec<f32>,
    ) -> Result<(), Error> {
        check::routed_rows(out.len(), y.len(), routes, width)?;
        for token in 0..routes.tokens() {
            let own: Vec<usize> = (0..routes.len()).filter(|&route| routes.rows()[route] as usize == token).collect();
            for i in 0..width {
                let weight = |route: usize| if weighted { f64::from(routes.weights()[route]) } else { 1.0 };
                let terms = own.iter().map(|&route| weight(route) * f64::from(y[route * width + i]));
                out[token * width + i] = terms.sum::<f64>() as f32;
            }
        }
        Ok(())
    }

    fn rope(&mut self, step: &HostStep, x: &mut Vec<f32>, table: usize, rope: Rope) -> Result<(), Error> {
        let Rotation { cos, sin } = step.rotation(table)?;
        let half = rope.rotary_dim / 2;
        let len = check::rope(x.len(), step.tokens(), step.rotation(table)?, rope)?;
        for (head, x) in x[..len].chunks_exact_mut(rope.head_dim.max(1)).enumerate() {
            let angles = head / rope.heads * half;
            for i in 0..half {
                let (first, second) = match rope.style {
                    RopeStyle::Halves => (rope.offset + i, rope.offset + i + half),
                    RopeStyle::Pairs => (rope.offset + 2 * i, rope.offset + 2 * i + 1),
                };
                let (c, s) = (f64::from(cos[angles + i]), f64::from(sin[angles + i]));
                let (a, b) = (f64::from(x[first]), f64::from(x[second]));
                x[first] = (a * c - b * s) as f32;
                x[second] = (a * s + b * c) as f32;
            }
        }
        Ok(())
    }

    fn append(
        &mut self,
        step: &HostStep,
        group: usize,
        kv: &mut ReferenceKv,
        keys: &Vec<f32>,
        values: &Vec<f32>,
    ) -> Result<(), Error> {
        check::append(kv.shape, keys.len(), values.len(), step.tokens(), step.spans(group)?)?;
        let KvShape { kv_heads, key_dim, value_dim, key_format, value_format, .. } = kv.shape;
        for span in step.spans(group)? {
            for i in 0..span.tokens {
                let (row, slot) = (span.start + i, slot(kv.shape, &span, span.position + i));
                for head in 0..kv_heads {
                    let (stored, new) = ((slot * kv_heads + head) * key_dim, (row * kv_heads + head) * key_dim);
                    let stored = &mut kv.keys[stored..stored + key_dim];
                    stored.copy_from_slice(&keys[new..new + key_dim]);
                    key_format.round(stored);
                    let (stored, new) = ((slot * kv_heads + head) * value_dim, (row * kv_heads + head) * value_dim);
                    let stored = &mut kv.values[stored..stored + value_dim];
                    stored.copy_from_slice(&values[new..new + value_dim]);
                    value_format.round(stored);
                }
            }
        }
        Ok(())
    }

    fn attention(
        &mut self,
        step: &HostStep,
        queries: &Vec<f32>,
        kv: &ReferenceKv,
        attention: Attention<'_, Self>,
        out: &mut Vec<f32>,
    ) -> Result<(), Error> {
        let spans = step.spans(attention.group)?;
        let sinks = attention.sinks.map(Weight::shape);
        check::attention(kv.shape, &attention, sinks, queries.len(), out.len(), step.tokens(), spans.clone())?;
        let sinks = attention.sinks.map(|sinks| row(sinks, 0)).transpose()?;
        let KvShape { kv_heads, key_dim, value_dim, .. } = kv.shape;
        for span in spans {
            for i in 0..span.tokens {
                let position = span.position + i;
                let end = span.position + span.tokens;
                let seen: Vec<usize> = match attention.visible {
                    Visible::Causal => (0..=position).collect(),
                    Visible::Window(n) => (0..=position).filter(|key| position - key < n).collect(),
                    Visible::Chunk(n) => (0..=position).filter(|key| key / n == position / n).collect(),
                    Visible::All => (0..end).collect(),
                    Visible::Keys => (0..span.keys).collect(),
                };
                for h in 0..attention.heads {
                    let kv_head = h * kv_heads / attention.heads;
                    let query = ((span.start + i) * attention.heads + h) * key_dim;
                    let query = &queries[query..query + key_dim];
                    let mut scores = Vec::new();
                    for &position in &seen {
                        let key = (slot(kv.shape, &span, position) * kv_heads + kv_head) * key_dim;
                        let score = f64::from(attention.scale) * dot(query, &kv.keys[key..key + key_dim]);
                        scores.push(attention.soft_cap.map_or(score, |cap| capped(score, f64::from(cap))));
                    }
                    let sink = sinks.as_ref().map_or(f64::NEG_INFINITY, |sinks| f64::from(sinks[h]));
                    let max = scores.iter().copied().fold(sink, f64::max);
                    let exponentials: Vec<f64> = scores.iter().map(|score| (score - max).exp()).collect();
                    let nothing = if sinks.is_some() { (sink - max).exp() } else { 0.0 };
                    let sum = exponentials.iter().sum::<f64>() + nothing;
                    for j in 0..value_dim {
                        let mut value = 0.0;
                        for (&position, exponential) in seen.iter().zip(&exponentials) {
                            let at = (slot(kv.shape, &span, position) * kv_heads + kv_head) * value_dim + j;
                            value += exponential / sum * f64::from(kv.values[at]);
                        }
                        out[((span.start + i) * attention.heads + h) * value_dim + j] = value as f32;
                    }
                }
            }
        }
        Ok(())
    }

    fn convolve(
        &mut self,
        step: &HostStep,
        x: &Vec<f32>,
        convolution: Convolution<'_, Self>,
        state: &mut HostState,
        out: &mut Vec<f32>,
    ) -> Result<(), Error> {
        check::convolution(step, &convolution, Weight::shape, state.shape(), x.len(), out.len())?;
        recurrent::convolve(step, x, convolution, state, out)
    }

    fn scan(
        &mut self,
        step: &HostStep,
        mixed: &Vec<f32>,
        dt: &Vec<f32>,
        scan: SelectiveScan<'_, Self>,
        state: &mut HostState,
        out: &mut Vec<f32>,
    ) -> Result<(), Error> {
        check::scan(step, &scan, Weight::shape, state.shape(), [mixed.len(), dt.len(), out.len()])?;
        recurrent::scan(step, mixed, dt, scan, state, out)
    }

    fn glu(&mut self, gate: &mut Vec<f32>, up: &Vec<f32>, len: usize, activation: Activation) -> Result<(), Error> {
        check::sizes::holds("gate", gate.len(), &[len])?;
        check::sizes::holds("up", up.len(), &[len])?;
        for (gate, &up) in gate.iter_mut().zip(up).take(len) {
            let (g, u) = (f64::from(*gate), f64::from(up));
            *gate = match activation {
                Activation::ClampedSwiglu { alpha, limit } => {
                    let limit = f64::from(limit);
                    let (g, u) =
                        (if g > limit { limit } else { g }, if u.abs() > limit { limit.copysign(u) } else { u });
                    g / (1.0 + (-f64::from(alpha) * g).exp()) * (u + 1.0)
                }
                _ => activated(g, activation) * u,
            } as f32;
        }
        Ok(())
    }

    fn activate(&mut self, x: &mut Vec<f32>, len: usize, activation: Activation) -> Result<(), Error> {
        check::plain_activation(activation)?;
        check::sizes::holds("activated values", x.len(), &[len])?;
        x.iter_mut().take(len).for_each(|x| *x = activated(f64::from(*x), activation) as f32);
        Ok(())
    }

    fn add(&mut self, x: &mut Vec<f32>, y: &Vec<f32>, len: usize, scale: f32) -> Result<(), Error> {
        check::sizes::holds("left summand", x.len(), &[len])?;
        check::sizes::holds("right summand", y.len(), &[len])?;
        for (x, &y) in x.iter_mut().zip(y).take(len) {
            *x = (f64::from(*x) + f64::from(scale) * f64::from(y)) as f32;
        }
        Ok(())
    }

    fn scale(&mut self, x: &mut Vec<f32>, len: usize, scale: f32) -> Result<(), Error> {
        check::sizes::holds("scaled values", x.len(), &[len])?;
        x.iter_mut().take(len).for_each(|x| *x *= scale);
        Ok(())
    }

    fn scale_rows(&mut self, step: &HostStep, list: usize, x: &mut Vec<f32>, width: usize) -> Result<(), Error> {
        let factors = step.factors(list)?;
        let len = check::sizes::holds("scaled rows", x.len(), &[factors.len(), width])?;
        for (i, x) in x[..len].iter_mut().enumerate() {
            *x *= factors[i / width];
        }
        Ok(())
    }

    fn soft_cap(&mut self, x: &mut Vec<f32>, len: usize, cap: f32) -> Result<(), Error> {
        check::positive_cap(cap)?;
        check::sizes::holds("capped values", x.len(), &[len])?;
        for x in x.iter_mut().take(len) {
            *x = capped(f64::from(*x), f64::from(cap)) as f32;
        }
        Ok(())
    }

    fn add_norm(
        &mut self,
        x: &mut Vec<f32>,
        y: &Vec<f32>,
        rows: usize,
        scale: f32,
        norm: Norm<'_, Self>,
        out: &mut Vec<f32>,
    ) -> Result<(), Error> {
        let len = check::add_norm(x.len(), y.len(), rows, &norm, Weight::shape, out.len())?;
        self.add(x, y, len, scale)?;
        self.norm(x, rows, norm, out)
    }
}

/// The error function to about 1e-15: the series `2/√π e^(-x²) Σ 2ⁿ x^(2n+1) / (2n+1)!!` where it is short, the continued
/// fraction of `erfc` elsewhere. Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.6 and 7.1.14.
pub(crate) fn erfc(x: f64) -> f64 {
    if x < 0.0 {
        return 2.0 - erfc(-x);
    }
    let gauss = (-x * x).exp() / std::f64::consts::PI.sqrt();
    if x < 2.0 {
        let (mut term, mut sum) = (x, x);
        for n in 1..60 {
            term *= 2.0 * x * x / f64::from(2 * n + 1);
            sum += term;
        }
        return 1.0 - 2.0 * gauss * sum;
    }
    // x + (1/2)/(x + 1/(x + (3/2)/(x + ...))), from the inside out.
    gauss / (1..120).rev().fold(x, |inner, n| x + f64::from(n) / 2.0 / inner)
}

fn activated(x: f64, activation: Activation) -> f64 {
    match activation {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Gelu => x * 0.5 * erfc(-x / std::f64::consts::SQRT_2),
        // `x / 2 (1 + tanh(u))` in the form that does not cancel; u = √(2/π) (x + 0.044715 x³).
        Activation::GeluTanh => {
            let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
            x / (1.0 + (-2.0 * u).exp())
        }
        Activation::QuickGelu => x / (1.0 + (-f64::from(1.702_f32) * x).exp()),
        Activation::Relu => {
            if x < 0.0 {
                0.0
            } else {
                x
            }
        }
        Activation::ReluSquared => {
            if x < 0.0 {
                0.0
            } else {
                x * x
            }
        }
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Activation::Tanh => x.tanh(),
        // Has a second factor; the checks refuse it here.
        Activation::ClampedSwiglu { .. } => f64::NAN,
    }
}

fn capped(x: f64, cap: f64) -> f64 {
    cap * (x / cap).tanh()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

/// The slot of a position over all blocks; the span has been checked.
fn slot(shape: KvShape, span: &Span<'_>, position: usize) -> usize {
    span.blocks[position / shape.block_tokens] as usize * shape.block_tokens + position % shape.block_tokens
}

/// One row as f32; zeros for a row that does not exist, which only a weight of no rows can be asked for.
fn row(weight: &Weight, index: usize) -> Result<Vec<f32>, Error> {
    let bytes = weight.row_bytes();
    let mut values = zeros("a row", weight.cols())?;
    if let Some(bytes) = weight.bytes().get(index * bytes..(index + 1) * bytes)
        && weight.rows() > 0
    {
        decode_row(weight.format(), bytes, &mut values)?;
    }
    Ok(values)
}

fn zeros(what: &str, len: usize) -> Result<Vec<f32>, Error> {
    let mut values = Vec::new();
    values
        .try_reserve_exact(len)
        .map_err(|error| Error::Resource { what: format!("{what} of {len} values"), detail: error.to_string() })?;
    values.resize(len, 0.0);
    Ok(values)
}

#[cfg(test)]
mod tests;
