//! What every operation demands of its arguments, in one place for all backends.
//!
//! A backend calls the check of an operation first and computes afterwards without further doubt: after a check, every
//! index that the operation forms from the checked numbers lies inside its buffer, and no product overflows.

use std::ops::Range;

use crate::{Attention, Backend, Error, KvShape, RmsNorm, Rope, Routes, Span};

/// The product of `factors`; [`Error::Shape`] when it overflows.
pub(crate) fn product(what: &'static str, factors: &[usize]) -> Result<usize, Error> {
    factors.iter().try_fold(1usize, |product, &factor| product.checked_mul(factor)).ok_or_else(|| Error::Shape {
        what,
        expected: "a size that can be addressed".into(),
        found: format!("{factors:?} elements"),
    })
}

/// The product of `factors`, of which a buffer of `len` holds at least as many.
pub(crate) fn holds(what: &'static str, len: usize, factors: &[usize]) -> Result<usize, Error> {
    let needed = product(what, factors)?;
    if len < needed {
        let expected = format!("at least {needed} elements ({factors:?})");
        return Err(Error::Shape { what, expected, found: len.to_string() });
    }
    Ok(needed)
}

/// A weight `[rows, cols]` that is one row of `width`.
pub(crate) fn vector(what: &'static str, weight: [usize; 2], width: usize) -> Result<(), Error> {
    if weight != [1, width] {
        return Err(Error::Shape { what, expected: format!("[1, {width}]"), found: format!("{weight:?}") });
    }
    Ok(())
}

/// Every id is below `limit`.
pub(crate) fn ids(what: &'static str, ids: &[u32], limit: usize) -> Result<(), Error> {
    match ids.iter().find(|&&id| id as usize >= limit) {
        Some(&id) => Err(Error::OutOfRange { what, index: id.into(), limit: limit as u64 }),
        None => Ok(()),
    }
}

/// `offset..offset + count` of a buffer of `len`.
pub(crate) fn range(what: &'static str, len: usize, offset: usize, count: usize) -> Result<Range<usize>, Error> {
    match offset.checked_add(count) {
        Some(end) if end <= len => Ok(offset..end),
        _ => Err(Error::Shape {
            what,
            expected: format!("at most {len} elements"),
            found: format!("{offset} + {count}"),
        }),
    }
}

/// A whole number of rows, `rows * norm.width` elements of `len`.
pub(crate) fn rms_norm(len: usize, rows: usize, weight: [usize; 2], norm: RmsNorm) -> Result<usize, Error> {
    vector("weight of an rms norm", weight, norm.width)?;
    holds("input of an rms norm", len, &[rows, norm.width])
}

/// The same of a sum and its norm; nothing may be written before all three are known to fit.
pub(crate) fn add_rms_norm(
    x_len: usize,
    y_len: usize,
    rows: usize,
    weight: [usize; 2],
    norm: RmsNorm,
    out_len: usize,
) -> Result<usize, Error> {
    let len = rms_norm(x_len, rows, weight, norm)?;
    holds("right summand", y_len, &[len])?;
    holds("output of an rms norm", out_len, &[len])
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
pub(crate) fn rope(x_len: usize, tokens: usize, cos_len: usize, sin_len: usize, rope: Rope) -> Result<usize, Error> {
    if !rope.rotary_dim.is_multiple_of(2) || rope.rotary_dim > rope.head_dim {
        let expected = format!("an even number up to head_dim {}", rope.head_dim);
        return Err(Error::Shape { what: "rotary_dim", expected, found: rope.rotary_dim.to_string() });
    }
    holds("cosines of a rotation", cos_len, &[tokens, rope.rotary_dim / 2])?;
    holds("sines of a rotation", sin_len, &[tokens, rope.rotary_dim / 2])?;
    holds("input of a rotation", x_len, &[tokens, rope.heads, rope.head_dim])
}

/// Routes in the order of their experts, to rows that exist.
pub(crate) fn routes(routes: Routes<'_>, rows: usize) -> Result<(), Error> {
    let last = routes.ends.last().copied().unwrap_or(0);
    if last != routes.rows.len() || !routes.ends.is_sorted() {
        let expected = format!("ascending ends up to {} routes", routes.rows.len());
        return Err(Error::Shape { what: "routes of experts", expected, found: format!("{:?}", routes.ends) });
    }
    ids("routed row", routes.rows, rows)
}

/// One product of routed rows: as many experts as `routes` names, all of one shape `[rows, cols]`, which is the result.
pub(crate) fn expert_matmul(
    weights: impl ExactSizeIterator<Item = [usize; 2]>,
    biases: Option<impl ExactSizeIterator<Item = [usize; 2]>>,
    routes: Routes<'_>,
    x_len: usize,
    out_len: usize,
) -> Result<[usize; 2], Error> {
    let experts = routes.ends.len();
    let counts = [Some(weights.len()), biases.as_ref().map(ExactSizeIterator::len)];
    if let Some(found) = counts.into_iter().flatten().find(|&count| count != experts) {
        return Err(Error::Shape { what: "experts", expected: experts.to_string(), found: found.to_string() });
    }
    let mut shape = None;
    for found in weights {
        let expected = *shape.get_or_insert(found);
        if found != expected {
            let (expected, found) = (format!("{expected:?} as of the first"), format!("{found:?}"));
            return Err(Error::Shape { what: "weight of an expert", expected, found });
        }
    }
    let [rows, cols] = shape.unwrap_or_default();
    for bias in biases.into_iter().flatten() {
        vector("bias of an expert", bias, rows)?;
    }
    self::routes(routes, x_len.checked_div(cols).unwrap_or(usize::MAX))?;
    holds("output of the experts", out_len, &[routes.rows.len(), rows])?;
    Ok([rows, cols])
}

/// A sum of routed rows of `width`.
pub(crate) fn add_routed(
    out_len: usize,
    y_len: usize,
    routes: Routes<'_>,
    weights: &[f32],
    width: usize,
) -> Result<(), Error> {
    self::routes(routes, out_len.checked_div(width).unwrap_or(usize::MAX))?;
    holds("weights of routes", weights.len(), &[routes.rows.len()])?;
    holds("routed rows", y_len, &[routes.rows.len(), width]).map(|_| ())
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

/// Keys and values hold the rows of the spans, and the spans lie in the cache.
pub(crate) fn append(shape: KvShape, keys_len: usize, values_len: usize, spans: &[Span<'_>]) -> Result<(), Error> {
    let rows = rows_of(spans)?;
    holds("appended keys", keys_len, &[rows, shape.kv_heads, shape.key_dim])?;
    holds("appended values", values_len, &[rows, shape.kv_heads, shape.value_dim])?;
    spans.iter().try_for_each(|span| table(shape, span, span.position))
}

/// Heads, queries, output and spans of an attention. Blocks that lie wholly before every query's window may hold any id.
pub(crate) fn attention<B: Backend>(
    shape: KvShape,
    attention: &Attention<'_, B>,
    sinks: Option<[usize; 2]>,
    queries_len: usize,
    out_len: usize,
) -> Result<(), Error> {
    let Attention { heads, window, soft_cap, spans, .. } = *attention;
    if heads == 0 || !heads.is_multiple_of(shape.kv_heads) {
        let expected = format!("a multiple of {} kv heads", shape.kv_heads);
        return Err(Error::Shape { what: "query heads", expected, found: heads.to_string() });
    }
    if window == Some(0) {
        return Err(Error::Shape { what: "attention window", expected: "at least 1".into(), found: "0".into() });
    }
    if let Some(cap) = soft_cap {
        positive_cap(cap)?;
    }
    if let Some(sinks) = sinks {
        vector("sinks of an attention", sinks, heads)?;
    }
    let rows = rows_of(spans)?;
    holds("queries", queries_len, &[rows, heads, shape.key_dim])?;
    holds("output of an attention", out_len, &[rows, heads, shape.value_dim])?;
    disjoint(spans)?;
    spans.iter().try_for_each(|span| table(shape, span, first_seen(span.position, window)))
}

/// The first position that a query at `position` sees.
pub(crate) fn first_seen(position: usize, window: Option<usize>) -> usize {
    window.map_or(0, |window| position.saturating_add(1).saturating_sub(window))
}

/// A cap that can be divided by.
pub(crate) fn positive_cap(cap: f32) -> Result<(), Error> {
    if cap.is_finite() && cap > 0.0 {
        return Ok(());
    }
    Err(Error::Shape { what: "soft cap", expected: "a positive finite number".into(), found: cap.to_string() })
}

/// The number of batch rows up to the end of the last span.
fn rows_of(spans: &[Span<'_>]) -> Result<usize, Error> {
    spans.iter().try_fold(0, |rows, span| {
        if span.tokens == 0 {
            return Err(Error::Shape { what: "tokens of a span", expected: "at least 1".into(), found: "0".into() });
        }
        let end = span.start.checked_add(span.tokens).ok_or_else(|| Error::Shape {
            what: "rows of a span",
            expected: "an end that can be addressed".into(),
            found: format!("{} + {}", span.start, span.tokens),
        })?;
        Ok(end.max(rows))
    })
}

/// No row belongs to two spans: a backend may write all of them at the same time.
fn disjoint(spans: &[Span<'_>]) -> Result<(), Error> {
    let overlap = |a: &Span<'_>, b: &Span<'_>| a.start + a.tokens > b.start;
    if !spans.is_sorted_by(|a, b| !overlap(a, b)) {
        let mut sorted: Vec<&Span<'_>> = spans.iter().collect();
        sorted.sort_by_key(|span| span.start);
        if let Some(pair) = sorted.windows(2).find(|pair| overlap(pair[0], pair[1])) {
            return Err(Error::Shape {
                what: "spans of a batch",
                expected: "rows of their own".into(),
                found: format!("row {} in two spans", pair[1].start),
            });
        }
    }
    Ok(())
}

/// The block table reaches the end of the span, and the blocks from position `first` on exist.
fn table(shape: KvShape, span: &Span<'_>, first: usize) -> Result<(), Error> {
    let slots = span.blocks.len().saturating_mul(shape.block_tokens);
    let end = span.position.checked_add(span.tokens).filter(|&end| end <= slots).ok_or_else(|| Error::Shape {
        what: "block table of a span",
        expected: format!("room for position {} and {} tokens", span.position, span.tokens),
        found: format!("{} blocks of {} slots", span.blocks.len(), shape.block_tokens),
    })?;
    let used = span.blocks.get(first / shape.block_tokens..end.div_ceil(shape.block_tokens)).unwrap_or_default();
    ids("cache block", used, shape.blocks)
}
