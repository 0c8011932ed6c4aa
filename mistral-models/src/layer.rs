//! One layer: residual sums of blocks.

use mistral_quant::Backend;

use crate::block::norm::NormWeights;
use crate::block::scratch::Scratch;
use crate::block::{Block, Step, Tables};
use crate::cache::Cache;
use crate::error::Error;
use crate::loading::Loading;
use crate::names::{At, Role};
use crate::spec::{Branch, LayerSpec, NormSpec, Residual};

/// The residual stream of a step and what is still to be added to it.
pub(crate) struct Stream<B: Backend> {
    /// `[tokens, hidden_size]`.
    pub(crate) hidden: B::Buffer,
    /// `[tokens, hidden_size]`: what a block reads.
    pub(crate) normed: B::Buffer,
    /// `[tokens, hidden_size]`: what a block writes.
    pub(crate) out: B::Buffer,
    /// `[tokens, hidden_size]`: what a further branch of a residual writes; empty for decoders without parallel branches.
    pub(crate) further: B::Buffer,
    /// The factor with which `out` is still to be added to `hidden`: the addition is done with the norm that follows, in one pass.
    pub(crate) pending: Option<f32>,
    /// Values of the stream: tokens times hidden size.
    pub(crate) len: usize,
}

impl<B: Backend> Stream<B> {
    /// Makes `normed` of the stream.
    fn norm(&mut self, backend: &mut B, tokens: usize, norm: &NormWeights<B>) -> Result<(), Error> {
        let Self { hidden, normed, out, .. } = self;
        match self.pending.take() {
            Some(scale) => backend.add_norm(hidden, out, tokens, scale, norm.op(), normed)?,
            None => backend.norm(hidden, tokens, norm.op(), normed)?,
        }
        Ok(())
    }

    /// Adds what is still to be added.
    pub(crate) fn settle(&mut self, backend: &mut B) -> Result<(), Error> {
        if let Some(scale) = self.pending.take() {
            backend.add(&mut self.hidden, &self.out, self.len, scale)?;
        }
        Ok(())
    }
}

struct ResidualWeights<B: Backend> {
    norm: Option<NormWeights<B>>,
    /// Each branch with its own norm and its place in [`DecoderSpec::blocks`](crate::DecoderSpec::blocks).
    branches: Vec<(Option<NormWeights<B>>, Block<B>, usize)>,
    output_norm: Option<NormWeights<B>>,
    scale: f32,
    after: Option<NormWeights<B>>,
}

/// The weights of one layer.
pub(crate) struct Layer<B: Backend> {
    residuals: Vec<ResidualWeights<B>>,
}

impl<B: Backend> Layer<B> {
    /// Loads a layer; `blocks` counts the blocks of all layers.
    pub(crate) fn load(
        loading: &mut Loading<'_, B>,
        index: usize,
        hidden_size: usize,
        spec: &LayerSpec,
        tables: &mut Tables,
        blocks: &mut usize,
    ) -> Result<Self, Error> {
        let at = At::layer(index);
        let mut residuals = Vec::with_capacity(spec.residuals.len());
        for residual in &spec.residuals {
            let Residual { norm, branches, output_norm, scale, after } = residual;
            let mixes = branches.iter().any(|branch| branch.block.is_mixer());
            let [before_role, output_role, after_role] = norm_roles(mixes);
            let load = |loading: &mut Loading<'_, B>, role, norm: &Option<NormSpec>| {
                norm.map(|norm| NormWeights::load(loading, role, at, norm, hidden_size)).transpose()
            };
            if norm.is_some() && branches.iter().any(|branch| branch.norm.is_some()) {
                return Err(Error::unsupported("layer", "a residual with a norm of its own and norms of its branches"));
            }
            let mut loaded = Vec::with_capacity(branches.len());
            for Branch { norm, block } in branches {
                let [own_role, ..] = norm_roles(block.is_mixer());
                let weights = Block::load(loading, index, hidden_size, block, tables)?;
                loaded.push((load(loading, own_role, norm)?, weights, *blocks));
                *blocks += 1;
            }
            residuals.push(ResidualWeights {
                norm: load(loading, before_role, norm)?,
                branches: loaded,
                output_norm: load(loading, output_role, output_norm)?,
                scale: *scale,
                after: load(loading, after_role, after)?,
            });
        }
        Ok(Self { residuals })
    }

    /// Sends the residual stream through the layer; the last addition stays pending.
    pub(crate) fn forward(
        &self,
        backend: &mut B,
        step: &mut Step<'_, '_, B>,
        cache: &mut Cache<B>,
        scratch: &mut Scratch<B>,
        stream: &mut Stream<B>,
    ) -> Result<(), Error> {
        let tokens = step.tokens;
        for residual in &self.residuals {
            match &residual.norm {
                Some(norm) => stream.norm(backend, tokens, norm)?,
                None => stream.settle(backend)?,
            }
            let reads_stream = residual.norm.is_none();
            for (branch, (norm, block, place)) in residual.branches.iter().enumerate() {
                if let Some(norm) = norm {
                    stream.norm(backend, tokens, norm)?;
                }
                let Stream { hidden, normed, out, further, len, .. } = &mut *stream;
                let x = if reads_stream && norm.is_none() { &*hidden } else { &*normed };
                let cache = cache.of(*place).ok_or_else(|| Error::other_decoder("fewer blocks than the decoder"))?;
                match branch {
                    0 => block.forward(backend, step, cache, scratch, x, out)?,
                    _ => {
                        block.forward(backend, step, cache, scratch, x, further)?;
                        backend.add(out, further, *len, 1.0)?;
                    }
                }
            }
            if let Some(norm) = &residual.output_norm {
                backend.norm_in_place(&mut stream.out, tokens, norm.op())?;
            }
            stream.pending = Some(residual.scale);
            if let Some(norm) = &residual.after {
                stream.settle(backend)?;
                backend.norm_in_place(&mut stream.hidden, tokens, norm.op())?;
            }
        }
        Ok(())
    }
}

/// The roles of the norms of a residual: before its branches, of their sum, and of the stream after the addition.
fn norm_roles(mixes: bool) -> [Role; 3] {
    match mixes {
        true => [Role::MixerNorm, Role::MixerOutputNorm, Role::MixerAfterNorm],
        false => [Role::FfnNorm, Role::FfnOutputNorm, Role::FfnAfterNorm],
    }
}
