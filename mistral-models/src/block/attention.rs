//! Self-attention: project, normalise heads, rotate, cache, attend, project back.

use mistral_quant::Backend;
use mistral_quant::backend::{Attention as AttentionOp, Rope};

use super::linear::Linear;
use super::norm::NormWeights;
use super::scratch::Widths;
use super::{Step, Tables};
use crate::block::scratch::Scratch;
use crate::error::Error;
use crate::loading::Loading;
use crate::names::{At, Part, Role};
use crate::rope::RopeTable;
use crate::spec::{AttentionSpec, QkNorm};

/// The weights of one attention.
pub(crate) struct Attention<B: Backend> {
    spec: AttentionSpec,
    hidden_size: usize,
    /// Index into the decoder's distinct ropes.
    rope: Option<usize>,
    /// Index into the decoder's distinct temperatures.
    temperature: Option<usize>,
    query: Linear<B>,
    key: Linear<B>,
    value: Linear<B>,
    output: Linear<B>,
    qk_norm: Option<(NormWeights<B>, NormWeights<B>)>,
    sinks: Option<B::Weight>,
}

pub(super) fn widths(spec: &AttentionSpec) -> Widths {
    let width = |heads: usize| heads.saturating_mul(spec.head_dim);
    Widths {
        queries: width(spec.heads),
        keys: width(spec.kv_heads),
        values: width(spec.kv_heads),
        heads: width(spec.heads),
        ..Widths::default()
    }
}

impl<B: Backend> Attention<B> {
    pub(super) fn load(
        loading: &mut Loading<'_, B>,
        layer: usize,
        hidden_size: usize,
        spec: &AttentionSpec,
        tables: &mut Tables,
    ) -> Result<Self, Error> {
        let (q, kv, at) = (spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim, At::layer(layer));
        let parts = [(Role::Query, q), (Role::Key, kv), (Role::Value, kv)];
        let [query, key, value] = loading.group(Role::Qkv, parts, at, (hidden_size, spec.kv_heads), spec.qkv_bias)?;
        let output = loading.linear(Role::Output, at, [hidden_size, q], spec.out_bias)?;
        let qk_norm = match spec.qk_norm {
            None => None,
            Some(QkNorm { norm, whole, .. }) => {
                let width = |all: usize| if whole { all } else { spec.head_dim };
                let query = NormWeights::load(loading, Role::QueryNorm, at, norm, width(q))?;
                Some((query, NormWeights::load(loading, Role::KeyNorm, at, norm, width(kv))?))
            }
        };
        let sinks = spec.sinks.then(|| loading.vector(Role::Sinks, Part::Weight, at, spec.heads)).transpose()?;
        // The tensors have borne out the width of a head by now: a configuration that lies allocates nothing.
        let rope = spec.rope.as_ref().map(|rope| {
            let place = tables.ropes.iter().position(|table| table.same(rope)).unwrap_or(tables.ropes.len());
            if place == tables.ropes.len() {
                tables.ropes.push(RopeTable::new(rope));
            }
            place
        });
        let temperature = spec.temperature.map(|temperature| {
            let place = tables.temperatures.iter().position(|other| *other == temperature);
            place.unwrap_or_else(|| {
                tables.temperatures.push(temperature);
                tables.temperatures.len() - 1
            })
        });
        Ok(Self { spec: spec.clone(), hidden_size, rope, temperature, query, key, value, output, qk_norm, sinks })
    }

    pub(super) fn forward(
        &self,
        backend: &mut B,
        step: &mut Step<'_, '_, B>,
        (group, kv): (usize, &mut B::Kv),
        scratch: &mut Scratch<B>,
        x: &B::Buffer,
        out: &mut B::Buffer,
    ) -> Result<(), Error> {
        let AttentionSpec { heads, head_dim, scale, visible, soft_cap, .. } = self.spec;
        let Scratch { queries, keys, values, heads: mixed, .. } = scratch;
        let products = [(&self.query, &mut *queries), (&self.key, &mut *keys), (&self.value, &mut *values)];
        Linear::group(backend, step, x, self.hidden_size, products)?;
        let after = self.spec.qk_norm.is_some_and(|norm| norm.after_rope);
        if !after {
            self.normalise(backend, step.tokens, queries, keys)?;
        }
        self.rotate(backend, step, queries, keys)?;
        if after {
            self.normalise(backend, step.tokens, queries, keys)?;
        }
        if let Some(table) = self.temperature {
            backend.scale_rows(step.device, table, queries, heads * head_dim)?;
        }
        backend.append(step.device, group, kv, keys, values)?;
        let attention = AttentionOp { heads, scale, visible, soft_cap, sinks: self.sinks.as_ref(), group };
        backend.attention(step.device, queries, kv, attention, mixed)?;
        self.output.forward(backend, step.observer.as_mut(), mixed, [step.tokens, heads * head_dim], out)
    }

    fn normalise(
        &self,
        backend: &mut B,
        tokens: usize,
        queries: &mut B::Buffer,
        keys: &mut B::Buffer,
    ) -> Result<(), Error> {
        let Some((query, key)) = &self.qk_norm else { return Ok(()) };
        let whole = self.spec.qk_norm.is_some_and(|norm| norm.whole);
        let rows = |heads: usize| if whole { tokens } else { tokens * heads };
        backend.norm_in_place(queries, rows(self.spec.heads), query.op())?;
        Ok(backend.norm_in_place(keys, rows(self.spec.kv_heads), key.op())?)
    }

    fn rotate(
        &self,
        backend: &mut B,
        step: &Step<'_, '_, B>,
        queries: &mut B::Buffer,
        keys: &mut B::Buffer,
    ) -> Result<(), Error> {
        let (Some(table), Some(spec)) = (self.rope, &self.spec.rope) else { return Ok(()) };
        let rope = |heads| Rope {
            heads,
            head_dim: self.spec.head_dim,
            offset: 0,
            rotary_dim: spec.rotary_dim,
            style: spec.style,
        };
        backend.rope(step.device, queries, table, rope(self.spec.heads))?;
        Ok(backend.rope(step.device, keys, table, rope(self.spec.kv_heads))?)
    }
}
