//! From named tensors to a backend's weights, with every tensor of the checkpoint accounted for.

use std::collections::BTreeSet;
use std::sync::Arc;

use mistral_quant::{Backend, SharedBytes, Weight};

use crate::block::linear::{ExpertLinear, Linear};
use crate::error::Error;
use crate::loader::weights::Weights;
use crate::names::{At, Known, Layout, Names, Part, Role};
use crate::unsupported::Unsupported;

/// Takes tensors out of a checkpoint by role and remembers which were taken.
pub(crate) struct Loading<'a, B: Backend> {
    pub(crate) backend: &'a mut B,
    weights: &'a dyn Weights,
    names: Names,
    used: BTreeSet<String>,
}

/// The size of a matrix whose rows may be several parts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a> {
    /// Rows of each part.
    pub(crate) rows: &'a [usize],
    pub(crate) cols: usize,
    /// Key heads, for [`Layout::PerHead`].
    pub(crate) heads: usize,
}

impl Parts<'_> {
    fn total(&self) -> usize {
        self.rows.iter().fold(0, |sum, rows| sum.saturating_add(*rows))
    }
}

impl<'a, B: Backend> Loading<'a, B> {
    pub(crate) fn new(backend: &'a mut B, weights: &'a dyn Weights, names: Names) -> Self {
        Self { backend, weights, names, used: BTreeSet::new() }
    }

    fn name(&self, role: Role, part: Part, at: At) -> Result<String, Error> {
        let missing = || Error::Missing { kind: "tensor", name: format!("{role:?} of layer {}", at.layer) };
        self.names.find(self.weights, role, part, at).ok_or_else(missing)
    }

    /// Whether the checkpoint has the weight of this role.
    pub(crate) fn has(&self, role: Role, at: At) -> bool {
        self.name(role, Part::Weight, at).is_ok_and(|name| self.weights.contains(&name))
    }

    /// Loads a matrix `[rows, cols]` with its bias.
    pub(crate) fn linear(
        &mut self,
        role: Role,
        at: At,
        [rows, cols]: [usize; 2],
        bias: bool,
    ) -> Result<Linear<B>, Error> {
        let [linear] = self.separate([(role, rows)], at, cols, bias)?;
        Ok(linear)
    }

    /// Loads projections of one input, which may be stored as one fused matrix. `heads` are the key heads of a fused attention.
    pub(crate) fn group<const N: usize>(
        &mut self,
        fused: Role,
        parts: [(Role, usize); N],
        at: At,
        (cols, heads): (usize, usize),
        bias: bool,
    ) -> Result<[Linear<B>; N], Error> {
        if !self.has(fused, at) {
            return self.separate(parts, at, cols, bias);
        }
        let rows = parts.map(|(_, rows)| rows);
        let size = Parts { rows: &rows, cols, heads };
        let weights = self.host(fused, at, size)?;
        let biases = bias.then(|| self.host_biases(fused, at, size)).transpose()?;
        let mut biases = biases.into_iter().flatten();
        let mut linears = Vec::with_capacity(N);
        for (weight, (role, _)) in weights.into_iter().zip(parts) {
            let name = self.shown(fused, at).or_else(|| self.shown(role, at));
            let bias = biases.next().map(|bias| self.place(fused, at, bias)).transpose()?;
            linears.push(Linear { weight: self.place(fused, at, weight)?, bias, name: name.unwrap_or_default() });
        }
        linears.try_into().map_err(|_| Error::Internal { what: "as many projections as parts" })
    }

    fn separate<const N: usize>(
        &mut self,
        parts: [(Role, usize); N],
        at: At,
        cols: usize,
        bias: bool,
    ) -> Result<[Linear<B>; N], Error> {
        let mut linears = Vec::with_capacity(N);
        for (role, rows) in parts {
            let size = Parts { rows: &[rows], cols, heads: 1 };
            let weight = self.host(role, at, size)?.pop().ok_or(Error::Internal { what: "a matrix has one part" })?;
            let weight = self.place(role, at, weight)?;
            let bias = bias.then(|| self.vector(role, Part::Bias, at, rows)).transpose()?;
            linears.push(Linear { weight, bias, name: self.shown(role, at).unwrap_or_default() });
        }
        linears.try_into().map_err(|_| Error::Internal { what: "as many projections as parts" })
    }

    /// Loads the matrices of all experts, which may be stored one by one or stacked, and each part alone or fused.
    pub(crate) fn experts<const N: usize>(
        &mut self,
        fused: Role,
        parts: [(Role, usize); N],
        layer: usize,
        (experts, cols): (usize, usize),
        bias: bool,
    ) -> Result<[ExpertLinear<B>; N], Error> {
        let at = At { layer, expert: self.names.expert_by_expert(fused).then_some(0) };
        let mut all = Vec::with_capacity(N);
        if self.has(fused, at) {
            // A fused stack is read once for all of its parts.
            let rows = parts.map(|(_, rows)| rows);
            let size = Parts { rows: &rows, cols, heads: 1 };
            let weights = self.stack(fused, layer, experts, size)?;
            let biases = bias.then(|| self.stack_of_biases(fused, layer, experts, size)).transpose()?;
            for (part, (role, _)) in parts.into_iter().enumerate() {
                all.push(self.expert_part(fused, role, layer, part, &weights, biases.as_deref())?);
            }
        } else {
            for (role, rows) in parts {
                let [linear] = self.expert_stack(role, rows, layer, (experts, cols), bias)?;
                all.push(linear);
            }
        }
        all.try_into().map_err(|_| Error::Internal { what: "as many projections as parts" })
    }

    /// Loads one matrix of each expert.
    pub(crate) fn expert_stack(
        &mut self,
        role: Role,
        rows: usize,
        layer: usize,
        (experts, cols): (usize, usize),
        bias: bool,
    ) -> Result<[ExpertLinear<B>; 1], Error> {
        let size = Parts { rows: &[rows], cols, heads: 1 };
        let weights = self.stack(role, layer, experts, size)?;
        let biases = bias.then(|| self.stack_of_biases(role, layer, experts, size)).transpose()?;
        Ok([self.expert_part(role, role, layer, 0, &weights, biases.as_deref())?])
    }

    fn expert_part(
        &mut self,
        stored: Role,
        role: Role,
        layer: usize,
        part: usize,
        weights: &[Vec<Weight>],
        biases: Option<&[Vec<Weight>]>,
    ) -> Result<ExpertLinear<B>, Error> {
        let at = At::layer(layer);
        let name = self.shown(stored, at).or_else(|| self.shown(role, at)).unwrap_or_default();
        let mut place = |of: &[Vec<Weight>]| -> Result<Vec<B::Weight>, Error> {
            of.iter().filter_map(|parts| parts.get(part)).map(|weight| self.place(stored, at, weight.clone())).collect()
        };
        let weights = place(weights)?;
        let biases = biases.map(&mut place).transpose()?;
        Ok(ExpertLinear { weights, biases, name })
    }

    /// Loads a vector of `len` values, converted to f32.
    pub(crate) fn vector(&mut self, role: Role, part: Part, at: At, len: usize) -> Result<B::Weight, Error> {
        let values = self.values(role, part, at, len)?;
        self.made(&values)
    }

    /// Makes a weight of one row.
    pub(crate) fn made(&mut self, values: &[f32]) -> Result<B::Weight, Error> {
        Ok(self.backend.weight(Weight::from_f32(1, values.len(), values)?)?)
    }

    /// Reads a vector of `len` values.
    pub(crate) fn values(&mut self, role: Role, part: Part, at: At, len: usize) -> Result<Vec<f32>, Error> {
        let name = self.name(role, part, at)?;
        let tensor = self.weights.get(&name)?;
        // Some vectors have further dimensions in GGUF files: of one element, or of the groups of a norm.
        let stored = match tensor.shape.iter().try_fold(1, |product: usize, n| product.checked_mul(*n)) == Some(len) {
            true if tensor.shape.len() > 1 && self.names.gguf => tensor.to_weight()?.to_f32()?,
            _ => tensor.vector(len)?.to_f32()?,
        };
        self.used.insert(name);
        Ok(stored)
    }

    /// Reads the filters of a depthwise convolution, `[channels, kernel]` or `[channels, 1, kernel]`.
    pub(crate) fn filters(&mut self, role: Role, at: At, [channels, kernel]: [usize; 2]) -> Result<B::Weight, Error> {
        let name = self.name(role, Part::Weight, at)?;
        let tensor = self.weights.get(&name)?;
        if tensor.shape != [channels, kernel] {
            tensor.expect_shape(&[channels, 1, kernel])?;
        }
        let values = tensor.to_weight()?.to_f32()?;
        self.used.insert(name);
        Ok(self.backend.weight(Weight::from_f32(channels, kernel, &values)?)?)
    }

    /// Loads the decays of a recurrence, negative numbers. Hugging Face checkpoints store the logarithms of their sizes.
    pub(crate) fn decays(&mut self, role: Role, at: At, len: usize) -> Result<B::Weight, Error> {
        let mut values = self.values(role, Part::Weight, at, len)?;
        if !self.names.gguf {
            values.iter_mut().for_each(|value| *value = -f64::from(*value).exp() as f32);
        }
        self.made(&values)
    }

    /// Loads a table `[rows, cols]` that rows are taken from.
    pub(crate) fn table(&mut self, role: Role, [rows, cols]: [usize; 2]) -> Result<B::Weight, Error> {
        let size = Parts { rows: &[rows], cols, heads: 1 };
        let weight =
            self.host(role, At::default(), size)?.pop().ok_or(Error::Internal { what: "a matrix has one part" })?;
        self.place(role, At::default(), weight)
    }

    /// Marks a tensor that was read elsewhere or is known to be a copy.
    pub(crate) fn mark(&mut self, role: Role) {
        for part in [Part::Weight, Part::Bias] {
            if let Ok(name) = self.name(role, part, At::default()) {
                self.used.insert(name);
            }
        }
    }

    /// Refuses tensors that nothing reads: the spec would not be the model that was trained.
    pub(crate) fn finish(self) -> Result<(), Error> {
        let unread = |name: &&str| !self.used.contains(*name) && !self.names.ignorable(name);
        let left: Vec<&str> = self.weights.names().filter(unread).collect();
        if left.is_empty() { Ok(()) } else { Err(Unsupported::tensors(left).into()) }
    }

    /// Reads the parts of a matrix.
    fn host(&mut self, role: Role, at: At, size: Parts<'_>) -> Result<Vec<Weight>, Error> {
        let name = self.name(role, Part::Weight, at)?;
        let (rows, layout) = (size.total(), self.names.layout(role));
        let tensor = self.weights.get(&name)?;
        let weight = match layout {
            Layout::Plain | Layout::PerHead => tensor.matrix(rows, size.cols)?,
            Layout::Transposed | Layout::TransposedTurns => transposed(&tensor.matrix(size.cols, rows)?, &name)?,
        };
        self.used.insert(name);
        apart(&weight, layout, size)
    }

    /// Reads the parts of a bias, each a row of f32.
    fn host_biases(&mut self, role: Role, at: At, size: Parts<'_>) -> Result<Vec<Weight>, Error> {
        let values = self.values(role, Part::Bias, at, size.total())?;
        biases_apart(&values, self.names.layout(role), size)
    }

    /// Reads the parts of each expert's matrix.
    fn stack(&mut self, role: Role, layer: usize, experts: usize, size: Parts<'_>) -> Result<Vec<Vec<Weight>>, Error> {
        if self.names.expert_by_expert(role) {
            return (0..experts).map(|e| self.host(role, At { layer, expert: Some(e) }, size)).collect();
        }
        let name = self.name(role, Part::Weight, At::layer(layer))?;
        let (rows, layout) = (size.total(), self.names.layout(role));
        let tensor = self.weights.get(&name)?;
        // Packed experts (MXFP4 of gpt-oss) are unpacked row by row, whatever the layout of plain ones.
        let plain = tensor.format()?.block_weights() == 1;
        let is_transposed = plain && matches!(layout, Layout::Transposed | Layout::TransposedTurns);
        let shape = if is_transposed { [size.cols, rows] } else { [rows, size.cols] };
        tensor.expect_shape(&[experts, shape[0], shape[1]])?;
        let whole = tensor.to_weight()?;
        self.used.insert(name.clone());
        let expert = |e: usize| {
            let own = whole.slice_rows(e * shape[0]..(e + 1) * shape[0])?;
            apart(&if is_transposed { transposed(&own, &name)? } else { own }, layout, size)
        };
        (0..experts).map(expert).collect()
    }

    fn stack_of_biases(
        &mut self,
        role: Role,
        layer: usize,
        experts: usize,
        size: Parts<'_>,
    ) -> Result<Vec<Vec<Weight>>, Error> {
        if self.names.expert_by_expert(role) {
            return (0..experts).map(|e| self.host_biases(role, At { layer, expert: Some(e) }, size)).collect();
        }
        let name = self.name(role, Part::Bias, At::layer(layer))?;
        let (tensor, rows) = (self.weights.get(&name)?, size.total());
        tensor.expect_shape(&[experts, rows])?;
        let values = tensor.to_weight()?.to_f32()?;
        self.used.insert(name);
        values.chunks_exact(rows.max(1)).map(|own| biases_apart(own, self.names.layout(role), size)).collect()
    }

    /// What GGUF files call the matrix of a role.
    fn shown(&self, role: Role, at: At) -> Option<Arc<str>> {
        let at = At::layer(at.layer);
        self.names.in_gguf(Known { role, part: Part::Weight, at }).map(Arc::from)
    }

    fn place(&mut self, role: Role, at: At, weight: Weight) -> Result<B::Weight, Error> {
        let format = weight.format();
        self.backend.weight(weight).map_err(|error| match error {
            mistral_quant::Error::UnsupportedFormat { .. } => {
                let own = self.name(role, Part::Weight, at).unwrap_or_default();
                Unsupported::format(own, format).into()
            }
            other => other.into(),
        })
    }
}

/// Takes a fused matrix apart.
fn apart(weight: &Weight, layout: Layout, size: Parts<'_>) -> Result<Vec<Weight>, Error> {
    let ordered = match order(layout, size)? {
        Some(order) => picked(weight, &order)?,
        None => weight.clone(),
    };
    let mut start = 0;
    let mut slices = Vec::with_capacity(size.rows.len());
    for rows in size.rows {
        slices.push(ordered.slice_rows(start..start + rows)?);
        start += rows;
    }
    Ok(slices)
}

fn biases_apart(values: &[f32], layout: Layout, size: Parts<'_>) -> Result<Vec<Weight>, Error> {
    let column = Weight::from_f32(values.len(), 1, values)?;
    let parts = apart(&column, layout, size)?;
    parts.iter().map(|part| Ok(Weight::from_f32(1, part.rows(), &part.to_f32()?)?)).collect()
}

/// Where each row of the parts, one part after another, is stored. `None` where they are stored in this order.
fn order(layout: Layout, size: Parts<'_>) -> Result<Option<Vec<usize>>, Error> {
    if size.rows.len() < 2 {
        return Ok(None);
    }
    let groups = match layout {
        Layout::Plain | Layout::Transposed => return Ok(None),
        Layout::TransposedTurns => size.rows.first().copied().unwrap_or(1),
        Layout::PerHead => size.heads,
    };
    if groups == 0 || size.rows.iter().any(|rows| rows % groups != 0) {
        let detail = format!("a fused projection of {:?} rows in {groups} groups", size.rows);
        return Err(Error::unsupported("tensor", detail));
    }
    let (each, mut order) = (size.total() / groups, Vec::with_capacity(size.total()));
    let mut before = 0;
    for rows in size.rows.iter().map(|rows| rows / groups) {
        for group in 0..groups {
            order.extend((0..rows).map(|row| group * each + before + row));
        }
        before += rows;
    }
    Ok(Some(order))
}

/// Copies rows in another order.
fn picked(weight: &Weight, order: &[usize]) -> Result<Weight, Error> {
    let row = weight.row_bytes();
    let mut bytes = Vec::with_capacity(weight.bytes().len());
    for index in order {
        bytes.extend_from_slice(weight.bytes().get(index * row..(index + 1) * row).unwrap_or_default());
    }
    Ok(Weight::new(weight.format(), weight.rows(), weight.cols(), SharedBytes::new(bytes))?)
}

/// Copies `[cols, rows]` to `[rows, cols]`.
fn transposed(weight: &Weight, name: &str) -> Result<Weight, Error> {
    if weight.format().block_weights() != 1 {
        return Err(Unsupported::format_for(name, weight.format(), "to be transposed").into());
    }
    let [rows, cols] = weight.shape();
    let width = weight.row_bytes().checked_div(cols).unwrap_or(0);
    let mut bytes = Vec::with_capacity(weight.bytes().len());
    for col in 0..cols {
        for row in 0..rows {
            let start = (row * cols + col) * width;
            bytes.extend_from_slice(weight.bytes().get(start..start + width).unwrap_or_default());
        }
    }
    Ok(Weight::new(weight.format(), cols, rows, SharedBytes::new(bytes))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_taken_apart_as_they_are_stored() {
        let weight = Weight::from_f32(6, 1, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        let parts = |layout, rows: &[usize], heads| -> Vec<Vec<f32>> {
            let parts = apart(&weight, layout, Parts { rows, cols: 1, heads }).unwrap();
            parts.iter().map(|part| part.to_f32().unwrap()).collect()
        };
        assert_eq!(parts(Layout::Plain, &[2, 4], 1), [vec![0.0, 1.0], vec![2.0, 3.0, 4.0, 5.0]]);
        assert_eq!(parts(Layout::TransposedTurns, &[3, 3], 1), [vec![0.0, 2.0, 4.0], vec![1.0, 3.0, 5.0]]);
        assert_eq!(parts(Layout::PerHead, &[2, 2, 2], 2), [vec![0.0, 3.0], vec![1.0, 4.0], vec![2.0, 5.0]]);
        let uneven = apart(&weight, Layout::PerHead, Parts { rows: &[3, 3], cols: 1, heads: 2 });
        assert!(matches!(uneven, Err(Error::Unsupported { .. })));
    }

    #[test]
    fn transposing_swaps_rows_and_columns() {
        let weight = Weight::from_f32(2, 3, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        let turned = transposed(&weight, "a").unwrap();
        assert_eq!((turned.shape(), turned.to_f32().unwrap()), ([3, 2], vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0]));
    }
}
