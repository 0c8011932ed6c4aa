//! Conditions on the arguments of every operation, in one place for all backends.
//!
//! A backend calls the check of an operation first and computes afterwards without further doubt: after a check, every
//! index that the operation forms from the checked numbers lies inside its buffer, and no product overflows.

pub(crate) mod sizes;

use std::ops::Range;

use crate::backend::{Activation, Attention, Backend, Convolution, KvShape, Norm, Rope, RouteRule, SelectiveScan};
use crate::check::sizes::{holds, ids, product, refuse, vector};
use crate::error::Error;
use crate::routes::HostRoutes;
use crate::routes::RoutedInput;
use crate::state::StateShape;
use crate::step::Visible;
use crate::step::{HostStep, Reach, Rotation, Span};

/// A whole number of rows, `rows * norm.width` elements of `len`. `shape` is that of a weight.
pub(crate) fn norm<B: Backend>(
    len: usize,
    rows: usize,
    norm: &Norm<'_, B>,
    shape: impl Fn(&B::Weight) -> [usize; 2],
) -> Result<usize, Error> {
    let named = [("weight of a norm", norm.weight), ("bias of a norm", norm.bias)];
    let groups =
        named.iter().find_map(|(_, vector)| *vector).map_or(1, |vector| shape(vector)[1] / norm.width.max(1)).max(1);
    for (what, values) in named {
        values.map_or(Ok(()), |values| vector(what, shape(values), product(what, &[groups, norm.width])?))?;
    }
    if !rows.is_multiple_of(groups) {
        return refuse("rows of a norm", format!("a multiple of {groups} groups"), rows);
    }
    holds("input of a norm", len, &[rows, norm.width])
}

/// The same of a sum and its norm; nothing may be written before all three are known to fit.
pub(crate) fn add_norm<B: Backend>(
    x_len: usize,
    y_len: usize,
    rows: usize,
    norm: &Norm<'_, B>,
    shape: impl Fn(&B::Weight) -> [usize; 2],
    out_len: usize,
) -> Result<usize, Error> {
    let len = self::norm(x_len, rows, norm, shape)?;
    holds("right summand", y_len, &[len])?;
    holds("output of a norm", out_len, &[len])
}

/// An activation that needs no second factor.
pub(crate) fn plain_activation(activation: Activation) -> Result<(), Error> {
    match activation {
        Activation::ClampedSwiglu { .. } => {
            refuse("activation", "one without a second factor", format!("{activation:?}, which gated products have"))
        }
        _ => Ok(()),
    }
}

/// One product with a weight `[rows, cols]`: `x` holds `[tokens, cols]`, `out` `[tokens, rows]`.
pub(crate) fn matmul(
    [rows, cols]: [usize; 2],
    bias: Option<[usize; 2]>,
    tokens: usize,
    x_len: usize,
    out_len: usize,
) -> Result<(), Error> {
    holds("input of a matrix product", x_len, &[tokens, cols])?;
    holds("output of a matrix product", out_len, &[tokens, rows])?;
    bias.map_or(Ok(()), |bias| vector("bias of a matrix product", bias, rows))
}

/// Two products with weights of one shape `[rows, cols]`; the number of outputs.
pub(crate) fn glu_matmul(
    gate: [usize; 2],
    up: [usize; 2],
    biases: [Option<[usize; 2]>; 2],
    tokens: usize,
    x_len: usize,
    out_len: usize,
) -> Result<usize, Error> {
    if gate != up {
        let (expected, found) = (format!("{gate:?}, as the gate's"), format!("{up:?}"));
        return Err(Error::Shape { what: "shape of the up projection", expected, found });
    }
    biases.into_iter().try_for_each(|bias| matmul(gate, bias, tokens, x_len, out_len))?;
    product("output of a gated product", &[tokens, gate[0]])
}

/// Lengths of the rotated rows and of the tables; the number of elements that are looked at.
pub(crate) fn rope(x_len: usize, tokens: usize, table: Rotation<'_>, rope: Rope) -> Result<usize, Error> {
    let Rope { heads, head_dim, offset, rotary_dim, .. } = rope;
    if !rotary_dim.is_multiple_of(2) || offset.checked_add(rotary_dim).is_none_or(|end| end > head_dim) {
        let expected = format!("an even number of elements from {offset} up to head_dim {head_dim}");
        return refuse("rotary_dim", expected, rotary_dim);
    }
    let angles = product("angles of a rotation", &[tokens, rotary_dim / 2])?;
    if table.cos.len() != angles {
        let expected = format!("{tokens} tokens x {} angles", rotary_dim / 2);
        return refuse("table of a rotation", expected, format!("{} angles in all", table.cos.len()));
    }
    holds("input of a rotation", x_len, &[tokens, heads, head_dim])
}

/// A rule that can be followed, for rows that are there.
pub(crate) fn route(
    logits_len: usize,
    tokens: usize,
    rule: &RouteRule,
    bias: Option<[usize; 2]>,
    capacity: usize,
) -> Result<(), Error> {
    let &RouteRule { experts, top_k, groups, .. } = rule;
    if u32::try_from(experts).is_err() {
        return refuse("experts of a route", "fewer than 2^32", experts);
    }
    if top_k == 0 || top_k > experts {
        return refuse("experts per token", format!("1 to {experts}"), top_k);
    }
    if let Some(groups) = groups {
        if groups.count == 0 || !experts.is_multiple_of(groups.count) {
            return refuse("groups of experts", format!("a divisor of {experts} experts"), groups.count);
        }
        let size = experts / groups.count;
        if !(1..=groups.count).contains(&groups.chosen) || top_k > groups.chosen * size {
            let expected = format!("up to {} groups that have {top_k} experts of {size} a group", groups.count);
            return refuse("chosen groups of experts", expected, groups.chosen);
        }
        if !(1..=2.min(size)).contains(&groups.ranked_by) {
            return refuse("scores that rank a group", format!("1 to {}", 2.min(size)), groups.ranked_by);
        }
    }
    bias.map_or(Ok(()), |bias| vector("bias of a route", bias, experts))?;
    holds("room for routes", capacity, &[tokens, top_k])?;
    holds("logits of a route", logits_len, &[tokens, experts]).map(|_| ())
}

/// One product of routed rows: as many experts as `routes` has, all of one shape `[rows, cols]`, which is the result.
pub(crate) fn expert_matmul(
    weights: impl ExactSizeIterator<Item = [usize; 2]>,
    biases: Option<impl ExactSizeIterator<Item = [usize; 2]>>,
    input: RoutedInput,
    routes: &HostRoutes,
    x_len: usize,
    out_len: usize,
) -> Result<[usize; 2], Error> {
    let experts = routes.experts();
    let counts = [Some(weights.len()), biases.as_ref().map(ExactSizeIterator::len)];
    if let Some(found) = counts.into_iter().flatten().find(|&count| count != experts) {
        return refuse("experts", experts.to_string(), found);
    }
    let mut common = None;
    for found in weights {
        let expected = *common.get_or_insert(found);
        if found != expected {
            return refuse("weight of an expert", format!("{expected:?} as of the first"), format!("{found:?}"));
        }
    }
    let [rows, cols] = common.unwrap_or_default();
    for bias in biases.into_iter().flatten() {
        vector("bias of an expert", bias, rows)?;
    }
    holds("input of the experts", x_len, &[routes.input_rows(input), cols])?;
    holds("output of the experts", out_len, &[routes.len(), rows])?;
    Ok([rows, cols])
}

/// Rows of `width` of all tokens, and one for each route.
pub(crate) fn routed_rows(
    tokens_len: usize,
    routes_len: usize,
    routes: &HostRoutes,
    width: usize,
) -> Result<(), Error> {
    holds("rows of tokens", tokens_len, &[routes.tokens(), width])?;
    holds("rows of routes", routes_len, &[routes.len(), width]).map(|_| ())
}

/// The products of a group read the same columns.
pub(crate) fn same_cols(expected: usize, found: usize) -> Result<(), Error> {
    if expected != found {
        let what = "columns of a group of matrix products";
        return Err(Error::Shape { what, expected: expected.to_string(), found: found.to_string() });
    }
    Ok(())
}

/// Elements of the key and of the value storage.
pub(crate) fn kv(shape: KvShape) -> Result<(usize, usize), Error> {
    let KvShape { blocks, block_tokens, kv_heads, key_dim, value_dim, .. } = shape;
    if block_tokens == 0 || kv_heads == 0 || key_dim == 0 || value_dim == 0 {
        let expected = "no zero but for the number of blocks".into();
        return Err(Error::Shape { what: "cache geometry", expected, found: format!("{shape:?}") });
    }
    let keys = product("cached keys", &[blocks, block_tokens, kv_heads, key_dim])?;
    let values = product("cached values", &[blocks, block_tokens, kv_heads, value_dim])?;
    Ok((keys, values))
}

/// Slots of some length; the number of values.
pub(crate) fn state(shape: StateShape) -> Result<usize, Error> {
    product("recurrent state", &[shape.slots, shape.len])
}

/// Keys and values hold the rows of the step, and the spans lie in the cache.
pub(crate) fn append<'a>(
    shape: KvShape,
    keys_len: usize,
    values_len: usize,
    tokens: usize,
    mut spans: impl Iterator<Item = Span<'a>>,
) -> Result<(), Error> {
    holds("appended keys", keys_len, &[tokens, shape.kv_heads, shape.key_dim])?;
    holds("appended values", values_len, &[tokens, shape.kv_heads, shape.value_dim])?;
    spans.try_for_each(|span| table(shape, &span, span.position..span.position + span.tokens))
}

/// Heads, queries, output and spans of an attention. Blocks that lie wholly before what every query sees may hold any id.
pub(crate) fn attention<'a, B: Backend>(
    kv: KvShape,
    attention: &Attention<'_, B>,
    sinks: Option<[usize; 2]>,
    queries_len: usize,
    out_len: usize,
    tokens: usize,
    mut spans: impl Iterator<Item = Span<'a>>,
) -> Result<(), Error> {
    let Attention { heads, visible, soft_cap, .. } = *attention;
    if heads == 0 || !heads.is_multiple_of(kv.kv_heads) {
        return refuse("query heads", format!("a multiple of {} kv heads", kv.kv_heads), heads);
    }
    if let Visible::Window(0) | Visible::Chunk(0) = visible {
        return refuse("positions that a query sees", "at least 1", format!("{visible:?}"));
    }
    if let Some(cap) = soft_cap {
        positive_cap(cap)?;
    }
    if let Some(sinks) = sinks {
        vector("sinks of an attention", sinks, heads)?;
    }
    holds("queries", queries_len, &[tokens, heads, kv.key_dim])?;
    holds("output of an attention", out_len, &[tokens, heads, kv.value_dim])?;
    spans.try_for_each(|span| {
        let reach = span.reach(visible);
        if reach == Reach::Upto(0) {
            return refuse("keys of a run", "at least 1", 0);
        }
        table(kv, &span, reach.of(span.position).start..reach.of(span.position + span.tokens - 1).end)
    })
}

/// A cap that can be divided by.
pub(crate) fn positive_cap(cap: f32) -> Result<(), Error> {
    if cap.is_finite() && cap > 0.0 {
        return Ok(());
    }
    Err(Error::Shape { what: "soft cap", expected: "a positive finite number".into(), found: cap.to_string() })
}

/// Inputs, weights and state of a convolution.
pub(crate) fn convolution<B: Backend>(
    step: &HostStep,
    convolution: &Convolution<'_, B>,
    shape: impl Fn(&B::Weight) -> [usize; 2],
    state: StateShape,
    x_len: usize,
    out_len: usize,
) -> Result<(), Error> {
    let &Convolution { channels, kernel, weight, bias, activation } = convolution;
    if kernel == 0 {
        return refuse("taps of a convolution", "at least 1", 0);
    }
    if shape(weight) != [channels, kernel] {
        let (expected, found) = (format!("[{channels}, {kernel}]"), format!("{:?}", shape(weight)));
        return refuse("weight of a convolution", expected, found);
    }
    bias.map_or(Ok(()), |bias| vector("bias of a convolution", shape(bias), channels))?;
    activation.map_or(Ok(()), plain_activation)?;
    holds("input of a convolution", x_len, &[step.tokens(), channels])?;
    holds("output of a convolution", out_len, &[step.tokens(), channels])?;
    slots(step, state, &[kernel - 1, channels])
}

/// Inputs, weights and state of a scan.
pub(crate) fn scan<B: Backend>(
    step: &HostStep,
    scan: &SelectiveScan<'_, B>,
    shape: impl Fn(&B::Weight) -> [usize; 2],
    state: StateShape,
    [mixed_len, dt_len, out_len]: [usize; 3],
) -> Result<(), Error> {
    let &SelectiveScan { heads, head_dim, groups, state_dim, a, skip, dt_bias, dt_limit: (low, high) } = scan;
    if groups == 0 || !heads.is_multiple_of(groups) {
        return refuse("groups of a scan", format!("a divisor of {heads} heads"), groups);
    }
    if low.is_nan() || high.is_nan() || low > high {
        return refuse("bounds of a time step", "a lower and an upper bound", format!("{low} and {high}"));
    }
    for (what, weight) in [("decays of a scan", a), ("skip factors of a scan", skip), ("biases of time steps", dt_bias)]
    {
        vector(what, shape(weight), heads)?;
    }
    let tokens = step.tokens();
    let own = product("input of a scan", &[heads, head_dim])?;
    let shared = product("input of a scan", &[2, groups, state_dim])?;
    let width = own.saturating_add(shared);
    holds("input of a scan", mixed_len, &[tokens, width])?;
    holds("time steps of a scan", dt_len, &[tokens, heads])?;
    holds("output of a scan", out_len, &[tokens, own])?;
    slots(step, state, &[heads, head_dim, state_dim])
}

/// Every run has a slot of its own that holds the product of `factors`.
fn slots(step: &HostStep, state: StateShape, factors: &[usize]) -> Result<(), Error> {
    holds("slot of recurrent state", state.len, factors)?;
    let slots = step.slots();
    if let Some(&slot) = slots.last().filter(|&&slot| slot >= state.slots) {
        let (index, limit) = (slot as u64, state.slots as u64);
        return Err(Error::OutOfRange { what: "slot of recurrent state", index, limit });
    }
    match slots.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => refuse("slots of recurrent state", "one per run", format!("slot {} in two runs", pair[0])),
        None => Ok(()),
    }
}

/// The block table reaches the end of some positions of a span, and their blocks exist.
fn table(kv: KvShape, span: &Span<'_>, positions: Range<usize>) -> Result<(), Error> {
    let slots = span.blocks.len().saturating_mul(kv.block_tokens);
    if positions.end > slots {
        let expected = format!("room for {} positions", positions.end);
        return refuse(
            "block table of a run",
            expected,
            format!("{} blocks of {}", span.blocks.len(), kv.block_tokens),
        );
    }
    let used = positions.start / kv.block_tokens..positions.end.div_ceil(kv.block_tokens);
    ids("cache block", span.blocks.get(used).unwrap_or_default(), kv.blocks)
}
