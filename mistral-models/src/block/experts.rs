//! A mixture of experts. Source: Shazeer et al., 2017, arXiv:1701.06538; Lepikhin et al., 2020, arXiv:2006.16668.

use mistral_quant::Backend;
use mistral_quant::backend::RoutedInput;

use super::Step;
use super::linear::{ExpertLinear, Linear, RoutedRows};
use super::scratch::Widths;
use crate::block::scratch::Scratch;
use crate::error::Error;
use crate::loading::Loading;
use crate::names::{At, Role};
use crate::spec::ExpertsSpec;

/// The weights of one mixture.
pub(crate) struct Experts<B: Backend> {
    spec: ExpertsSpec,
    hidden_size: usize,
    router: Linear<B>,
    gate: ExpertLinear<B>,
    up: ExpertLinear<B>,
    down: ExpertLinear<B>,
}

pub(super) fn widths(spec: &ExpertsSpec, hidden_size: usize) -> Widths {
    let routed = |width: usize| width.saturating_mul(spec.rule.top_k);
    Widths {
        gate: routed(spec.intermediate_size),
        up: routed(spec.intermediate_size),
        routed: routed(hidden_size),
        router: spec.rule.experts,
        top_k: spec.rule.top_k,
        ..Widths::default()
    }
}

impl<B: Backend> Experts<B> {
    pub(super) fn load(
        loading: &mut Loading<'_, B>,
        layer: usize,
        hidden_size: usize,
        spec: &ExpertsSpec,
    ) -> Result<Self, Error> {
        let (experts, width, at) = (spec.rule.experts, spec.intermediate_size, At::layer(layer));
        let router = loading.linear(Role::Router, at, [experts, hidden_size], spec.router_bias)?;
        let parts = [(Role::ExpertGate, width), (Role::ExpertUp, width)];
        let size = (experts, hidden_size);
        let [gate, up] = loading.experts(Role::ExpertGateUp, parts, layer, size, spec.bias)?;
        let [down] = loading.expert_stack(Role::ExpertDown, hidden_size, layer, (experts, width), spec.bias)?;
        Ok(Self { spec: spec.clone(), hidden_size, router, gate, up, down })
    }

    pub(super) fn forward(
        &self,
        backend: &mut B,
        step: &mut Step<'_, '_, B>,
        scratch: &mut Scratch<B>,
        x: &B::Buffer,
        out: &mut B::Buffer,
    ) -> Result<(), Error> {
        let (tokens, hidden_size, width) = (step.tokens, self.hidden_size, self.spec.intermediate_size);
        let routes_per_step = tokens * self.spec.rule.top_k;
        let Scratch { gate, up, routed, router, routes, .. } = scratch;
        self.router.forward(backend, step.observer.as_mut(), x, [tokens, hidden_size], router)?;
        backend.route(router, tokens, &self.spec.rule, None, routes)?;
        let products = [(&self.gate, &mut *gate), (&self.up, &mut *up)];
        if self.spec.weighted_input {
            backend.spread_routed(x, routes, hidden_size, routed)?;
            let shape = [routes_per_step, hidden_size];
            let rows = RoutedRows { x: routed, input: RoutedInput::Routes, routes, shape };
            ExpertLinear::group(backend, step, &rows, products)?;
        } else {
            let rows = RoutedRows { x, input: RoutedInput::Tokens, routes, shape: [tokens, hidden_size] };
            ExpertLinear::group(backend, step, &rows, products)?;
        }
        backend.glu(gate, up, routes_per_step * width, self.spec.activation)?;
        let rows = RoutedRows { x: gate, input: RoutedInput::Routes, routes, shape: [routes_per_step, width] };
        ExpertLinear::group(backend, step, &rows, [(&self.down, &mut *routed)])?;
        Ok(backend.sum_routed(routed, routes, !self.spec.weighted_input, hidden_size, out)?)
    }
}
