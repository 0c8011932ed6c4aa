//! The recurrent mixer of Mamba-2: project, convolve, scan, gate and normalise, project back.
//!
//! Source: Dao and Gu, 2024, arXiv:2405.21060, section 7; transformers 5.23 `models/mamba2`.

use mistral_quant::Backend;
use mistral_quant::backend::{Activation, Convolution, SelectiveScan};

use super::Step;
use super::linear::Linear;
use super::norm::NormWeights;
use super::scratch::Widths;
use crate::block::scratch::Scratch;
use crate::cache::CacheKind;
use crate::error::Error;
use crate::loading::Loading;
use crate::names::{At, Part, Role};
use crate::spec::Mamba2Spec;

/// The weights of one mixer.
pub(crate) struct Mamba2<B: Backend> {
    spec: Mamba2Spec,
    hidden_size: usize,
    gate: Linear<B>,
    mixed: Linear<B>,
    time_steps: Linear<B>,
    output: Linear<B>,
    /// `[channels, conv_kernel]`.
    filters: B::Weight,
    filter_bias: Option<B::Weight>,
    /// `[heads]` each.
    decay: B::Weight,
    skip: B::Weight,
    dt_bias: B::Weight,
    norm: NormWeights<B>,
}

fn inner(spec: &Mamba2Spec) -> usize {
    spec.heads.saturating_mul(spec.head_dim)
}

/// Channels of the convolution: the heads, and for each group what goes into the state and what comes out of it.
fn channels(spec: &Mamba2Spec) -> usize {
    inner(spec).saturating_add(spec.groups.saturating_mul(spec.state_dim).saturating_mul(2))
}

pub(super) fn widths(spec: &Mamba2Spec) -> Widths {
    Widths {
        gate: inner(spec),
        heads: inner(spec),
        mixed: channels(spec),
        convolved: channels(spec),
        time_steps: spec.heads,
        ..Widths::default()
    }
}

pub(super) fn state(spec: &Mamba2Spec) -> CacheKind {
    CacheKind::State {
        convolution: channels(spec).saturating_mul(spec.conv_kernel.saturating_sub(1)),
        scan: inner(spec).saturating_mul(spec.state_dim),
    }
}

impl<B: Backend> Mamba2<B> {
    pub(super) fn load(
        loading: &mut Loading<'_, B>,
        layer: usize,
        hidden_size: usize,
        spec: &Mamba2Spec,
    ) -> Result<Self, Error> {
        let (at, inner, channels, heads) = (At::layer(layer), inner(spec), channels(spec), spec.heads);
        let parts = [(Role::SsmIn, inner), (Role::SsmIn, channels), (Role::SsmIn, heads)];
        let [gate, mixed, time_steps] = loading.group(Role::SsmIn, parts, at, (hidden_size, 1), spec.bias)?;
        let output = loading.linear(Role::SsmOut, at, [hidden_size, inner], spec.bias)?;
        let filters = loading.filters(Role::SsmConv, at, [channels, spec.conv_kernel])?;
        let bias = |loading: &mut Loading<'_, B>| loading.vector(Role::SsmConv, Part::Bias, at, channels);
        let filter_bias = spec.conv_bias.then(|| bias(loading)).transpose()?;
        let decay = loading.decays(Role::SsmDecay, at, heads)?;
        let skip = loading.vector(Role::SsmSkip, Part::Weight, at, heads)?;
        let dt_bias = loading.vector(Role::SsmTimeStep, Part::Weight, at, heads)?;
        let norm = NormWeights::of_groups(loading, Role::SsmNorm, at, spec.norm, [spec.groups, inner / spec.groups])?;
        let spec = spec.clone();
        Ok(Self {
            spec,
            hidden_size,
            gate,
            mixed,
            time_steps,
            output,
            filters,
            filter_bias,
            decay,
            skip,
            dt_bias,
            norm,
        })
    }

    pub(super) fn forward(
        &self,
        backend: &mut B,
        step: &mut Step<'_, '_, B>,
        (convolution, scan): (&mut B::State, &mut B::State),
        scratch: &mut Scratch<B>,
        x: &B::Buffer,
        out: &mut B::Buffer,
    ) -> Result<(), Error> {
        let Mamba2Spec { heads, head_dim, groups, state_dim, conv_kernel, dt_limit, .. } = self.spec;
        let Scratch { gate, heads: scanned, mixed, convolved, time_steps, .. } = scratch;
        let products = [(&self.gate, &mut *gate), (&self.mixed, &mut *mixed), (&self.time_steps, &mut *time_steps)];
        Linear::group(backend, step, x, self.hidden_size, products)?;
        let op = Convolution {
            channels: channels(&self.spec),
            kernel: conv_kernel,
            weight: &self.filters,
            bias: self.filter_bias.as_ref(),
            activation: Some(self.spec.activation),
        };
        backend.convolve(step.device, mixed, op, convolution, convolved)?;
        let op = SelectiveScan {
            heads,
            head_dim,
            groups,
            state_dim,
            a: &self.decay,
            skip: &self.skip,
            dt_bias: &self.dt_bias,
            dt_limit,
        };
        backend.scan(step.device, convolved, time_steps, op, scan, scanned)?;
        let inner = inner(&self.spec);
        backend.glu(gate, scanned, step.tokens * inner, Activation::Silu)?;
        backend.norm_in_place(gate, step.tokens * groups, self.norm.op())?;
        self.output.forward(backend, step.observer.as_mut(), gate, [step.tokens, inner], out)
    }
}
