//! A linear layer: the one room through which every product with a weight goes, and so the place for adapters and for observation.

use std::sync::Arc;

use mistral_quant::Backend;
use mistral_quant::backend::{Activation, ExpertMatMul, GluMatMul, MatMul, RoutedInput};

use super::Step;
use crate::error::Error;

/// A matrix `[rows, cols]` with its bias.
pub(crate) struct Linear<B: Backend> {
    pub(crate) weight: B::Weight,
    /// `[rows]`.
    pub(crate) bias: Option<B::Weight>,
    /// What GGUF files call the matrix, or the fused matrix it is a part of.
    pub(crate) name: Arc<str>,
}

/// The matrices of all experts, each `[rows, cols]`.
pub(crate) struct ExpertLinear<B: Backend> {
    pub(crate) weights: Vec<B::Weight>,
    /// `[rows]` each.
    pub(crate) biases: Option<Vec<B::Weight>>,
    /// What GGUF files call the stack.
    pub(crate) name: Arc<str>,
}

/// What one matrix, or each matrix of a stack, is multiplied with in a step.
pub(crate) struct Observation<'a> {
    /// What GGUF files call the matrix.
    pub(crate) name: &'a str,
    /// `[rows, cols]`.
    pub(crate) input: &'a [f32],
    /// Rows of `input`.
    pub(crate) rows: usize,
    /// Of a stack of experts: for each route its row of `input`, expert after expert, and for each expert the end of its routes.
    pub(crate) routes: Option<(&'a [u32], &'a [usize])>,
}

/// Takes observations.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(Observation<'_>) -> Result<(), Error>;

/// Copies the inputs of products to the host.
pub(crate) struct Observer<'a> {
    sink: Sink<'a>,
    /// `[rows, cols]`: an input on its way.
    input: Vec<f32>,
    rows: Vec<u32>,
    ends: Vec<usize>,
}

impl<'a> Observer<'a> {
    pub(crate) fn new(sink: Sink<'a>) -> Self {
        Self { sink, input: Vec::new(), rows: Vec::new(), ends: Vec::new() }
    }

    fn see<'n, B: Backend>(
        &mut self,
        backend: &mut B,
        x: &B::Buffer,
        [rows, cols]: [usize; 2],
        names: impl Iterator<Item = &'n str>,
        routes: Option<(&B::Routes, RoutedInput)>,
    ) -> Result<(), Error> {
        self.input.resize(rows.saturating_mul(cols), 0.0);
        backend.read(x, 0, &mut self.input)?;
        if let Some((routes, input)) = routes {
            backend.read_routes(routes, &mut self.rows, &mut self.ends)?;
            if input == RoutedInput::Routes {
                self.rows.iter_mut().zip(0..).for_each(|(row, route)| *row = route);
            }
        }
        let mut last = "";
        for name in names.filter(|name| !name.is_empty()) {
            // The parts of a fused matrix have one name and one input.
            if name != last {
                let routes = routes.map(|_| (self.rows.as_slice(), self.ends.as_slice()));
                (self.sink)(Observation { name, input: &self.input, rows, routes })?;
            }
            last = name;
        }
        Ok(())
    }
}

impl<B: Backend> Linear<B> {
    /// Computes `out = x · weightᵀ + bias` for `rows` rows of `x`, each of `cols` values.
    pub(crate) fn forward(
        &self,
        backend: &mut B,
        observer: Option<&mut Observer<'_>>,
        x: &B::Buffer,
        [rows, cols]: [usize; 2],
        out: &mut B::Buffer,
    ) -> Result<(), Error> {
        if let Some(observer) = observer {
            observer.see(backend, x, [rows, cols], [&*self.name].into_iter(), None)?;
        }
        Ok(backend.matmul(x, rows, &mut [self.product(out)])?)
    }

    /// Computes several products of one input `x` `[tokens, cols]`.
    pub(crate) fn group<const N: usize>(
        backend: &mut B,
        step: &mut Step<'_, '_, B>,
        x: &B::Buffer,
        cols: usize,
        linears: [(&Self, &mut B::Buffer); N],
    ) -> Result<(), Error> {
        if let Some(observer) = &mut step.observer {
            let names = linears.iter().map(|(linear, _)| &*linear.name);
            observer.see(backend, x, [step.tokens, cols], names, None)?;
        }
        Ok(backend.matmul(x, step.tokens, &mut linears.map(|(linear, out)| linear.product(out)))?)
    }

    /// Computes `out = activation(gate(x)) * up(x)` for `x` `[tokens, cols]`.
    pub(crate) fn glu(
        backend: &mut B,
        step: &mut Step<'_, '_, B>,
        x: &B::Buffer,
        cols: usize,
        (gate, up): (&Self, &Self),
        activation: Activation,
        out: &mut B::Buffer,
    ) -> Result<(), Error> {
        if let Some(observer) = &mut step.observer {
            observer.see(backend, x, [step.tokens, cols], [&*gate.name, &*up.name].into_iter(), None)?;
        }
        let biases = [gate.bias.as_ref(), up.bias.as_ref()];
        let product = GluMatMul { gate: &gate.weight, up: &up.weight, biases, activation, out };
        Ok(backend.matmul_glu(x, step.tokens, product)?)
    }

    fn product<'a>(&'a self, out: &'a mut B::Buffer) -> MatMul<'a, B> {
        MatMul { weight: &self.weight, bias: self.bias.as_ref(), out }
    }
}

/// The routed input of a product with experts.
pub(crate) struct RoutedRows<'a, B: Backend> {
    pub(crate) x: &'a B::Buffer,
    pub(crate) input: RoutedInput,
    pub(crate) routes: &'a B::Routes,
    /// Rows and columns of `x`.
    pub(crate) shape: [usize; 2],
}

impl<B: Backend> ExpertLinear<B> {
    /// Computes several products of one routed input.
    pub(crate) fn group<const N: usize>(
        backend: &mut B,
        step: &mut Step<'_, '_, B>,
        rows: &RoutedRows<'_, B>,
        linears: [(&Self, &mut B::Buffer); N],
    ) -> Result<(), Error> {
        if let Some(observer) = &mut step.observer {
            let names = linears.iter().map(|(linear, _)| &*linear.name);
            observer.see(backend, rows.x, rows.shape, names, Some((rows.routes, rows.input)))?;
        }
        let mut group =
            linears.map(|(Self { weights, biases, .. }, out)| ExpertMatMul { weights, biases: biases.as_deref(), out });
        Ok(backend.matmul_experts(rows.x, rows.input, rows.routes, &mut group)?)
    }
}
