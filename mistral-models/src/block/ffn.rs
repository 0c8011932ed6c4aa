//! The feed-forward network, gated or plain. Source of the gate: Shazeer, 2020, arXiv:2002.05202.

use mistral_quant::Backend;
use mistral_quant::backend::Activation;

use super::Step;
use super::linear::Linear;
use super::scratch::Widths;
use crate::block::scratch::Scratch;
use crate::error::Error;
use crate::loading::Loading;
use crate::names::{At, Role};
use crate::spec::FfnSpec;

/// The weights of one feed-forward network.
pub(crate) struct Ffn<B: Backend> {
    activation: Activation,
    hidden_size: usize,
    intermediate_size: usize,
    gate: Option<Linear<B>>,
    up: Linear<B>,
    down: Linear<B>,
}

pub(super) fn widths(spec: &FfnSpec) -> Widths {
    let width = spec.intermediate_size;
    Widths { gate: width, backend: if spec.gated { width } else { 0 }, ..Widths::default() }
}

impl<B: Backend> Ffn<B> {
    pub(super) fn load(
        loading: &mut Loading<'_, B>,
        layer: usize,
        hidden_size: usize,
        spec: &FfnSpec,
    ) -> Result<Self, Error> {
        let FfnSpec { intermediate_size, activation, bias, .. } = *spec;
        let (fused, gate, up, down) = match spec.shared {
            false => (Role::GateUp, Role::Gate, Role::Up, Role::Down),
            true => (Role::SharedGateUp, Role::SharedGate, Role::SharedUp, Role::SharedDown),
        };
        let at = At::layer(layer);
        let (gate, up) = if !spec.gated {
            (None, loading.linear(up, at, [intermediate_size, hidden_size], bias)?)
        } else if loading.has(gate, at) {
            let gate = loading.linear(gate, at, [intermediate_size, hidden_size], bias)?;
            (Some(gate), loading.linear(up, at, [intermediate_size, hidden_size], bias)?)
        } else {
            let parts = [(gate, intermediate_size), (up, intermediate_size)];
            let [gate, up] = loading.group(fused, parts, at, (hidden_size, 1), bias)?;
            (Some(gate), up)
        };
        let down = loading.linear(down, at, [hidden_size, intermediate_size], bias)?;
        Ok(Self { activation, hidden_size, intermediate_size, gate, up, down })
    }

    pub(super) fn forward(
        &self,
        backend: &mut B,
        step: &mut Step<'_, '_, B>,
        scratch: &mut Scratch<B>,
        x: &B::Buffer,
        out: &mut B::Buffer,
    ) -> Result<(), Error> {
        let inner = &mut scratch.gate;
        match &self.gate {
            Some(gate) => {
                Linear::glu(backend, step, x, self.hidden_size, (gate, &self.up), self.activation, inner)?;
            }
            None => {
                Linear::group(backend, step, x, self.hidden_size, [(&self.up, &mut *inner)])?;
                backend.activate(inner, step.tokens * self.intermediate_size, self.activation)?;
            }
        }
        self.down.forward(backend, step.observer.as_mut(), inner, [step.tokens, self.intermediate_size], out)
    }
}
