//! A norm with its weights.

use mistral_quant::Backend;
use mistral_quant::backend::Norm;

use crate::error::Error;
use crate::loading::Loading;
use crate::names::{At, Part, Role};
use crate::spec::NormSpec;

/// The weights of one norm over rows of `width`.
pub(crate) struct NormWeights<B: Backend> {
    spec: NormSpec,
    width: usize,
    weight: Option<B::Weight>,
    bias: Option<B::Weight>,
}

impl<B: Backend> NormWeights<B> {
    pub(crate) fn load(
        loading: &mut Loading<'_, B>,
        role: Role,
        at: At,
        spec: NormSpec,
        width: usize,
    ) -> Result<Self, Error> {
        Self::of_groups(loading, role, at, spec, [1, width])
    }

    /// Loads a norm of the parts `[groups, width]` of a row, each by itself.
    pub(crate) fn of_groups(
        loading: &mut Loading<'_, B>,
        role: Role,
        at: At,
        spec: NormSpec,
        [groups, width]: [usize; 2],
    ) -> Result<Self, Error> {
        let mut part = |on: bool, part| on.then(|| loading.vector(role, part, at, groups * width)).transpose();
        Ok(Self { spec, width, weight: part(spec.weight, Part::Weight)?, bias: part(spec.bias, Part::Bias)? })
    }

    /// The operation.
    pub(crate) fn op(&self) -> Norm<'_, B> {
        let NormSpec { kind, eps, offset, .. } = self.spec;
        Norm { kind, width: self.width, eps, offset, weight: self.weight.as_ref(), bias: self.bias.as_ref() }
    }
}
