//! Self-attention: project, normalise heads, rotate, cache, attend, project back.

use mistral_quant::{Attention as AttentionOp, Backend, MatMul, RmsNorm, Rope};

use super::{Scratch, Step};
use crate::Error;
use crate::loading::Loading;
use crate::names::Role;
use crate::spec::AttentionSpec;

/// A projection with its bias.
struct Linear<B: Backend> {
    weight: B::Weight,
    bias: Option<B::Weight>,
}

/// The weights of one attention.
pub(crate) struct Attention<B: Backend> {
    spec: AttentionSpec,
    /// Index into the decoder's distinct ropes.
    rope: usize,
    query: Linear<B>,
    key: Linear<B>,
    value: Linear<B>,
    output: Linear<B>,
    qk_norm: Option<(B::Weight, B::Weight)>,
}

impl<B: Backend> Attention<B> {
    pub(crate) fn load(
        loading: &mut Loading<'_, B>,
        layer: usize,
        hidden_size: usize,
        spec: &AttentionSpec,
        rope: usize,
    ) -> Result<Self, Error> {
        let (q, kv) = (spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim);
        let [query, key, value] = if loading.has(Role::Qkv, layer) {
            loading.split(Role::Qkv, layer, [q, kv, kv], hidden_size)?
        } else {
            [
                loading.matrix(Role::Query, layer, q, hidden_size)?,
                loading.matrix(Role::Key, layer, kv, hidden_size)?,
                loading.matrix(Role::Value, layer, kv, hidden_size)?,
            ]
        };
        let bias = spec.qkv_bias;
        let norm = |loading: &mut Loading<'_, B>, role| loading.vector(role, layer, "weight", spec.head_dim);
        Ok(Self {
            query: Linear { weight: query, bias: loading.bias(bias, Role::Query, layer, q)? },
            key: Linear { weight: key, bias: loading.bias(bias, Role::Key, layer, kv)? },
            value: Linear { weight: value, bias: loading.bias(bias, Role::Value, layer, kv)? },
            output: Linear {
                weight: loading.matrix(Role::Output, layer, hidden_size, q)?,
                bias: loading.bias(spec.out_bias, Role::Output, layer, hidden_size)?,
            },
            qk_norm: match spec.qk_norm {
                Some(_) => Some((norm(loading, Role::QueryNorm)?, norm(loading, Role::KeyNorm)?)),
                None => None,
            },
            spec: spec.clone(),
            rope,
        })
    }

    /// `x` and `out` are `[tokens, hidden_size]`.
    pub(crate) fn forward(
        &self,
        backend: &mut B,
        step: &Step<'_, B>,
        kv: &mut B::Kv,
        scratch: &mut Scratch<B>,
        x: &B::Buffer,
        out: &mut B::Buffer,
    ) -> Result<(), Error> {
        let AttentionSpec { heads, kv_heads, head_dim, .. } = self.spec;
        let Scratch { queries, keys, values, heads: mixed, .. } = scratch;
        let mut group = [
            MatMul { weight: &self.query.weight, bias: self.query.bias.as_ref(), out: &mut *queries },
            MatMul { weight: &self.key.weight, bias: self.key.bias.as_ref(), out: &mut *keys },
            MatMul { weight: &self.value.weight, bias: self.value.bias.as_ref(), out: &mut *values },
        ];
        backend.matmul(x, step.tokens, &mut group)?;
        if let (Some((query, key)), Some(norm)) = (&self.qk_norm, self.spec.qk_norm) {
            let norm = RmsNorm { width: head_dim, eps: norm.eps, offset: norm.offset };
            backend.rms_norm_in_place(queries, step.tokens * heads, query, norm)?;
            backend.rms_norm_in_place(keys, step.tokens * kv_heads, key, norm)?;
        }
        if let Some((cos, sin)) = step.ropes.get(self.rope) {
            let rope =
                |heads| Rope { heads, head_dim, rotary_dim: self.spec.rope.rotary_dim, style: self.spec.rope.style };
            backend.rope(queries, step.tokens, cos, sin, rope(heads))?;
            backend.rope(keys, step.tokens, cos, sin, rope(kv_heads))?;
        }
        backend.append(kv, keys, values, step.spans)?;
        let AttentionSpec { scale, window, soft_cap, .. } = self.spec;
        let attention = AttentionOp { heads, scale, window, soft_cap, sinks: None, spans: step.spans };
        backend.attention(queries, kv, attention, mixed)?;
        let output = MatMul { weight: &self.output.weight, bias: self.output.bias.as_ref(), out };
        Ok(backend.matmul(mixed, step.tokens, &mut [output])?)
    }
}
