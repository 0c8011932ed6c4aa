//! From named tensors to a backend's weights, with every tensor of the checkpoint accounted for.

use std::collections::BTreeSet;

use mistral_quant::{Backend, Weight};

use crate::names::{Names, Role};
use crate::{Error, Weights};

/// Takes tensors out of a checkpoint by role and remembers which were taken.
pub(crate) struct Loading<'a, B: Backend> {
    pub(crate) backend: &'a mut B,
    weights: &'a dyn Weights,
    names: Names,
    used: BTreeSet<String>,
}

impl<'a, B: Backend> Loading<'a, B> {
    pub(crate) fn new(backend: &'a mut B, weights: &'a dyn Weights, names: Names) -> Self {
        Self { backend, weights, names, used: BTreeSet::new() }
    }

    fn name(&self, role: Role, layer: usize, part: &str) -> Result<String, Error> {
        let missing = || Error::Missing { kind: "tensor", name: format!("{role:?} of layer {layer}") };
        let name = self.names.tensor(role, layer, part).ok_or_else(missing)?;
        // A checkpoint of the bare decoder (`...Model`, without a head) leaves the prefix out.
        let bare =
            name.strip_prefix("model.").filter(|bare| !self.weights.contains(&name) && self.weights.contains(bare));
        Ok(bare.map_or_else(|| name.clone(), str::to_owned))
    }

    /// Whether the checkpoint has the weight of this role.
    pub(crate) fn has(&self, role: Role, layer: usize) -> bool {
        self.name(role, layer, "weight").is_ok_and(|name| self.weights.contains(&name))
    }

    /// A matrix `[rows, cols]`.
    pub(crate) fn matrix(&mut self, role: Role, layer: usize, rows: usize, cols: usize) -> Result<B::Weight, Error> {
        let weight = self.host(role, layer, rows, cols)?;
        self.place(role, layer, weight)
    }

    /// The parts of a fused matrix whose rows lie one part after another.
    pub(crate) fn split<const N: usize>(
        &mut self,
        role: Role,
        layer: usize,
        rows: [usize; N],
        cols: usize,
    ) -> Result<[B::Weight; N], Error> {
        let whole = self.host(role, layer, rows.iter().fold(0, |sum: usize, &n| sum.saturating_add(n)), cols)?;
        let mut start = 0;
        let mut parts = Vec::with_capacity(N);
        for len in rows {
            let part = whole.slice_rows(start..start + len)?;
            parts.push(self.place(role, layer, part)?);
            start += len;
        }
        parts.try_into().map_err(|_| Error::unsupported("tensor", "fused projection"))
    }

    /// A vector of `len` values, converted to f32.
    pub(crate) fn vector(&mut self, role: Role, layer: usize, part: &str, len: usize) -> Result<B::Weight, Error> {
        let name = self.name(role, layer, part)?;
        let stored = self.weights.get(&name)?.vector(len)?;
        let weight = Weight::from_f32(1, len, &stored.to_f32()?)?;
        self.used.insert(name);
        self.place(role, layer, weight)
    }

    /// A bias of `len` values, if the spec has one.
    pub(crate) fn bias(&mut self, on: bool, role: Role, layer: usize, len: usize) -> Result<Option<B::Weight>, Error> {
        on.then(|| self.vector(role, layer, "bias", len)).transpose()
    }

    /// Marks a tensor that was read elsewhere or is known to be a copy.
    pub(crate) fn known(&mut self, role: Role) {
        if let Ok(name) = self.name(role, 0, "weight") {
            self.used.insert(name);
        }
    }

    /// Refuses tensors that nothing reads: the spec would not be the model that was trained.
    pub(crate) fn finish(self) -> Result<(), Error> {
        let unread = |name: &&str| !self.used.contains(*name) && !self.names.ignorable(name);
        let left: Vec<&str> = self.weights.names().filter(unread).collect();
        match left.first() {
            None => Ok(()),
            Some(first) => {
                let detail = format!(
                    "the checkpoint has {} tensors that this architecture does not use, such as `{first}`",
                    left.len()
                );
                Err(Error::unsupported("tensor", detail))
            }
        }
    }

    fn host(&mut self, role: Role, layer: usize, rows: usize, cols: usize) -> Result<Weight, Error> {
        let name = self.name(role, layer, "weight")?;
        let weight = self.weights.get(&name)?.matrix(rows, cols)?;
        self.used.insert(name);
        Ok(weight)
    }

    fn place(&mut self, role: Role, layer: usize, weight: Weight) -> Result<B::Weight, Error> {
        let format = weight.format();
        let own = self.name(role, layer, "weight").unwrap_or_default();
        let placed = match self.names.translate(&own) {
            Some((_, name)) if weight.rows() > 1 => self.backend.named_weight(&name, weight),
            _ => self.backend.weight(weight),
        };
        placed.map_err(|error| match error {
            mistral_quant::Error::UnsupportedFormat { .. } => {
                Error::unsupported("tensor format", format!("{format} of `{own}`"))
            }
            other => other.into(),
        })
    }
}
