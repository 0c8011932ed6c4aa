//! The gated feed-forward network. Source: Shazeer, 2020, arXiv:2002.05202.

use mistral_quant::{Activation, Backend, GluMatMul, MatMul};

use super::{Scratch, Step};
use crate::Error;
use crate::loading::Loading;
use crate::names::Role;
use crate::spec::FfnSpec;

/// The weights of one feed-forward network.
pub(crate) struct Ffn<B: Backend> {
    activation: Activation,
    gate: B::Weight,
    up: B::Weight,
    down: B::Weight,
    /// Of gate, up and down.
    bias: Option<[B::Weight; 3]>,
}

impl<B: Backend> Ffn<B> {
    pub(crate) fn load(
        loading: &mut Loading<'_, B>,
        layer: usize,
        hidden_size: usize,
        spec: &FfnSpec,
    ) -> Result<Self, Error> {
        let width = spec.intermediate_size;
        let [gate, up] = if loading.has(Role::Gate, layer) {
            [
                loading.matrix(Role::Gate, layer, width, hidden_size)?,
                loading.matrix(Role::Up, layer, width, hidden_size)?,
            ]
        } else {
            loading.split(Role::GateUp, layer, [width, width], hidden_size)?
        };
        let bias = match spec.bias {
            true => Some([
                loading.vector(Role::Gate, layer, "bias", width)?,
                loading.vector(Role::Up, layer, "bias", width)?,
                loading.vector(Role::Down, layer, "bias", hidden_size)?,
            ]),
            false => None,
        };
        Ok(Self {
            gate,
            up,
            down: loading.matrix(Role::Down, layer, hidden_size, width)?,
            bias,
            activation: spec.activation,
        })
    }

    /// `x` and `out` are `[tokens, hidden_size]`.
    pub(crate) fn forward(
        &self,
        backend: &mut B,
        step: &Step<'_, B>,
        scratch: &mut Scratch<B>,
        x: &B::Buffer,
        out: &mut B::Buffer,
    ) -> Result<(), Error> {
        let [gate_bias, up_bias, down_bias] = match &self.bias {
            Some([gate, up, down]) => [Some(gate), Some(up), Some(down)],
            None => [None; 3],
        };
        let gated = GluMatMul {
            gate: &self.gate,
            up: &self.up,
            biases: [gate_bias, up_bias],
            activation: self.activation,
            out: &mut scratch.gated,
        };
        backend.matmul_glu(x, step.tokens, gated)?;
        Ok(backend.matmul(&scratch.gated, step.tokens, &mut [MatMul { weight: &self.down, bias: down_bias, out }])?)
    }
}
