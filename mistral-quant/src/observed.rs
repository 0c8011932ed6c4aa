//! A backend that watches what its weights are multiplied with.
//!
//! How much a column of a matrix matters to its products is the mean square of what it is multiplied with. [`Observed`] sums these
//! squares around any other backend, so that a backend which serves has no hook to pay for.

use std::collections::BTreeMap;

use crate::backend::sealed::Sealed;
use crate::{
    Activation, Attention, Backend, Error, ExpertMatMul, GluMatMul, KvShape, MatMul, RmsNorm, Rope, Routes, Span,
    Weight,
};

/// A backend that computes as `B` does, to the bit, and sums the squares of the inputs of named weights
/// ([`Backend::named_weight`]).
///
/// It costs a copy of each input to the host and one multiplication and addition a value of it.
///
/// ```
/// use mistral_quant::{Backend, MatMul, Observed, Reference, Weight};
/// let mut backend = Observed::new(Reference);
/// let weight = backend.named_weight("a.weight", Weight::from_f32(1, 2, &[0.5, 0.25])?)?;
/// let (mut x, mut out) = (backend.buffer(4)?, backend.buffer(2)?);
/// backend.write(&mut x, &[1.0, 2.0, 3.0, 4.0])?;
/// backend.matmul(&x, 2, &mut [MatMul { weight: &weight, bias: None, out: &mut out }])?;
/// let seen = backend.squares("a.weight").map(|seen| (seen.sums(), seen.counts()));
/// assert_eq!(seen, Some((&[10.0, 20.0][..], &[2][..])));
/// # Ok::<(), mistral_quant::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Observed<B> {
    inner: B,
    /// By name: its place in `squares`.
    places: BTreeMap<String, usize>,
    squares: Vec<ColumnSquares>,
    /// `[rows, cols]`: an input on its way.
    input: Vec<f32>,
}

/// The weight of an [`Observed`] backend.
#[derive(Debug, Clone)]
pub struct ObservedWeight<W> {
    inner: W,
    /// In the squares of the backend; none for a weight without a name.
    place: Option<usize>,
}

/// What the columns of one matrix, or of each matrix of a stack of experts, were multiplied with.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnSquares {
    cols: usize,
    sums: Vec<f64>,
    counts: Vec<u64>,
}

impl ColumnSquares {
    /// `[matrices, cols]`: sums of the squares of the inputs.
    pub fn sums(&self) -> &[f64] {
        &self.sums
    }

    /// `[matrices]`: rows of input that were summed. One matrix until a stack of experts is multiplied.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Makes room for `matrices`.
    fn grow(&mut self, matrices: usize) -> Result<(), Error> {
        if self.counts.len() < matrices {
            let len = crate::check::product("column squares of experts", &[matrices, self.cols])?;
            self.sums.resize(len, 0.0);
            self.counts.resize(matrices, 0);
        }
        Ok(())
    }

    /// Adds one row of input of a matrix.
    fn add(&mut self, matrix: usize, row: &[f32]) {
        let start = matrix.saturating_mul(self.cols);
        for (sum, x) in self.sums.iter_mut().skip(start).zip(row) {
            *sum += f64::from(*x) * f64::from(*x);
        }
        if let Some(count) = self.counts.get_mut(matrix) {
            *count += 1;
        }
    }
}

impl<B> Observed<B> {
    /// Watches the products of a backend.
    pub fn new(inner: B) -> Self {
        Self { inner, places: BTreeMap::new(), squares: Vec::new(), input: Vec::new() }
    }

    /// What was seen of the weight of a name. `None` for one that no weight had.
    pub fn squares(&self, name: &str) -> Option<&ColumnSquares> {
        self.squares.get(*self.places.get(name)?)
    }

    /// What was seen, by name.
    pub fn all_squares(&self) -> impl Iterator<Item = (&str, &ColumnSquares)> {
        self.places.iter().filter_map(|(name, place)| Some((name.as_str(), self.squares.get(*place)?)))
    }
}

impl<B: Backend> Observed<B> {
    /// Adds rows of `x` `[.., cols]` to some places: a route is a row and the matrix that it went to.
    fn watch(
        &mut self,
        x: &B::Buffer,
        places: &[usize],
        routes: impl Iterator<Item = (usize, usize)> + Clone,
    ) -> Result<(), Error> {
        let first = places.first().and_then(|place| self.squares.get(*place));
        let (Some(cols), Some(last)) = (first.map(|first| first.cols), routes.clone().map(|(row, _)| row).max()) else {
            return Ok(());
        };
        let len = crate::check::product("observed input", &[last.saturating_add(1), cols])?;
        self.input.resize(len, 0.0);
        self.inner.read(x, 0, &mut self.input)?;
        for (row, matrix) in routes {
            let row = self.input.get(row.saturating_mul(cols)..).and_then(|rest| rest.get(..cols)).unwrap_or_default();
            for place in places {
                if let Some(squares) = self.squares.get_mut(*place) {
                    squares.add(matrix, row);
                }
            }
        }
        Ok(())
    }
}

/// The places of a group, each once.
fn distinct(places: impl Iterator<Item = Option<usize>>) -> Vec<usize> {
    let mut all: Vec<usize> = places.flatten().collect();
    all.sort_unstable();
    all.dedup();
    all
}

impl<B> Sealed for Observed<B> {}

impl<B: Backend> Backend for Observed<B>
where
    B::Weight: Clone,
{
    type Buffer = B::Buffer;
    type Weight = ObservedWeight<B::Weight>;
    type Kv = B::Kv;

    fn buffer(&mut self, len: usize) -> Result<Self::Buffer, Error> {
        self.inner.buffer(len)
    }

    fn write(&mut self, buffer: &mut Self::Buffer, values: &[f32]) -> Result<(), Error> {
        self.inner.write(buffer, values)
    }

    fn read(&mut self, buffer: &Self::Buffer, offset: usize, values: &mut [f32]) -> Result<(), Error> {
        self.inner.read(buffer, offset, values)
    }

    fn weight(&mut self, weight: Weight) -> Result<Self::Weight, Error> {
        Ok(ObservedWeight { inner: self.inner.weight(weight)?, place: None })
    }

    fn named_weight(&mut self, name: &str, weight: Weight) -> Result<Self::Weight, Error> {
        let cols = weight.cols();
        let inner = self.inner.named_weight(name, weight)?;
        let place = match self.places.get(name) {
            Some(place) => *place,
            None => {
                self.squares.push(ColumnSquares { cols, sums: vec![0.0; cols], counts: vec![0] });
                self.places.insert(name.to_owned(), self.squares.len() - 1);
                self.squares.len() - 1
            }
        };
        match self.squares.get(place).map(|known| known.cols) {
            Some(known) if known != cols => Err(Error::Shape {
                what: "columns of weights of one name",
                expected: known.to_string(),
                found: cols.to_string(),
            }),
            _ => Ok(ObservedWeight { inner, place: Some(place) }),
        }
    }

    fn kv(&mut self, shape: KvShape) -> Result<Self::Kv, Error> {
        self.inner.kv(shape)
    }

    fn embed(&mut self, table: &Self::Weight, ids: &[u32], scale: f32, out: &mut Self::Buffer) -> Result<(), Error> {
        self.inner.embed(&table.inner, ids, scale, out)
    }

    fn gather(&mut self, x: &Self::Buffer, rows: &[u32], width: usize, out: &mut Self::Buffer) -> Result<(), Error> {
        self.inner.gather(x, rows, width, out)
    }

    fn rms_norm(
        &mut self,
        x: &Self::Buffer,
        rows: usize,
        weight: &Self::Weight,
        norm: RmsNorm,
        out: &mut Self::Buffer,
    ) -> Result<(), Error> {
        self.inner.rms_norm(x, rows, &weight.inner, norm, out)
    }

    fn rms_norm_in_place(
        &mut self,
        x: &mut Self::Buffer,
        rows: usize,
        weight: &Self::Weight,
        norm: RmsNorm,
    ) -> Result<(), Error> {
        self.inner.rms_norm_in_place(x, rows, &weight.inner, norm)
    }

    fn matmul(&mut self, x: &Self::Buffer, tokens: usize, group: &mut [MatMul<'_, Self>]) -> Result<(), Error> {
        let places = distinct(group.iter().map(|product| product.weight.place));
        let mut inner: Vec<MatMul<'_, B>> = group
            .iter_mut()
            .map(|product| MatMul {
                weight: &product.weight.inner,
                bias: product.bias.map(|bias| &bias.inner),
                out: &mut *product.out,
            })
            .collect();
        self.inner.matmul(x, tokens, &mut inner)?;
        self.watch(x, &places, (0..tokens).map(|row| (row, 0)))
    }

    fn matmul_glu(&mut self, x: &Self::Buffer, tokens: usize, product: GluMatMul<'_, Self>) -> Result<(), Error> {
        let GluMatMul { gate, up, biases, activation, out } = product;
        let places = distinct([gate.place, up.place].into_iter());
        let biases = biases.map(|bias| bias.map(|bias| &bias.inner));
        let inner = GluMatMul { gate: &gate.inner, up: &up.inner, biases, activation, out };
        self.inner.matmul_glu(x, tokens, inner)?;
        self.watch(x, &places, (0..tokens).map(|row| (row, 0)))
    }

    fn matmul_experts(
        &mut self,
        x: &Self::Buffer,
        routes: Routes<'_>,
        group: &mut [ExpertMatMul<'_, Self>],
    ) -> Result<(), Error> {
        type Parts<W> = (Vec<W>, Option<Vec<W>>);
        let bare = |all: &[Self::Weight]| all.iter().map(|weight| weight.inner.clone()).collect::<Vec<_>>();
        let places = distinct(group.iter().map(|product| product.weights.first().and_then(|weight| weight.place)));
        let parts: Vec<Parts<B::Weight>> =
            group.iter().map(|product| (bare(product.weights), product.biases.map(bare))).collect();
        let mut inner: Vec<ExpertMatMul<'_, B>> = group
            .iter_mut()
            .zip(&parts)
            .map(|(product, (weights, biases))| ExpertMatMul {
                weights,
                biases: biases.as_deref(),
                out: &mut *product.out,
            })
            .collect();
        self.inner.matmul_experts(x, routes, &mut inner)?;
        for place in &places {
            if let Some(squares) = self.squares.get_mut(*place) {
                squares.grow(routes.ends.len())?;
            }
        }
        let rows = |expert: usize| routes.rows.get(routes.of(expert)).unwrap_or_default().iter();
        let all = (0..routes.ends.len()).flat_map(|expert| rows(expert).map(move |row| (*row as usize, expert)));
        self.watch(x, &places, all)
    }

    fn add_routed(
        &mut self,
        out: &mut Self::Buffer,
        y: &Self::Buffer,
        routes: Routes<'_>,
        weights: &[f32],
        width: usize,
    ) -> Result<(), Error> {
        self.inner.add_routed(out, y, routes, weights, width)
    }

    fn rope(
        &mut self,
        x: &mut Self::Buffer,
        tokens: usize,
        cos: &Self::Buffer,
        sin: &Self::Buffer,
        rope: Rope,
    ) -> Result<(), Error> {
        self.inner.rope(x, tokens, cos, sin, rope)
    }

    fn append(
        &mut self,
        kv: &mut Self::Kv,
        keys: &Self::Buffer,
        values: &Self::Buffer,
        spans: &[Span<'_>],
    ) -> Result<(), Error> {
        self.inner.append(kv, keys, values, spans)
    }

    fn attention(
        &mut self,
        queries: &Self::Buffer,
        kv: &Self::Kv,
        attention: Attention<'_, Self>,
        out: &mut Self::Buffer,
    ) -> Result<(), Error> {
        let Attention { heads, scale, window, soft_cap, sinks, spans } = attention;
        let sinks = sinks.map(|sinks| &sinks.inner);
        self.inner.attention(queries, kv, Attention { heads, scale, window, soft_cap, sinks, spans }, out)
    }

    fn glu(
        &mut self,
        gate: &mut Self::Buffer,
        up: &Self::Buffer,
        len: usize,
        activation: Activation,
    ) -> Result<(), Error> {
        self.inner.glu(gate, up, len, activation)
    }

    fn add(&mut self, x: &mut Self::Buffer, y: &Self::Buffer, len: usize) -> Result<(), Error> {
        self.inner.add(x, y, len)
    }

    fn soft_cap(&mut self, x: &mut Self::Buffer, len: usize, cap: f32) -> Result<(), Error> {
        self.inner.soft_cap(x, len, cap)
    }

    fn add_rms_norm(
        &mut self,
        x: &mut Self::Buffer,
        y: &Self::Buffer,
        rows: usize,
        weight: &Self::Weight,
        norm: RmsNorm,
        out: &mut Self::Buffer,
    ) -> Result<(), Error> {
        self.inner.add_rms_norm(x, y, rows, &weight.inner, norm, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reference;

    const COLS: usize = 3;
    const TOKENS: usize = 70;

    fn weight(rows: usize, seed: f32) -> Weight {
        let values: Vec<f32> = (0..rows * COLS).map(|at| (at as f32 * 0.37 + seed).sin()).collect();
        Weight::from_f32(rows, COLS, &values).unwrap()
    }

    fn inputs(rows: usize) -> Vec<f32> {
        (0..rows * COLS).map(|at| (at as f32 * 1.3).cos() * 2.0).collect()
    }

    /// Sums of squares of some rows.
    fn expected(x: &[f32], rows: &[usize]) -> Vec<f64> {
        (0..COLS).map(|col| rows.iter().map(|row| f64::from(x[row * COLS + col]).powi(2)).sum()).collect()
    }

    #[test]
    fn names_share_an_input_and_count_it_once() {
        let mut backend = Observed::new(Reference);
        let [a, b] = [0.0, 1.0].map(|seed| backend.named_weight("fused", weight(2, seed)).unwrap());
        let alone = backend.named_weight("alone", weight(1, 2.0)).unwrap();
        let nameless = backend.weight(weight(1, 3.0)).unwrap();
        let values = inputs(TOKENS);
        let mut x = backend.buffer(values.len()).unwrap();
        backend.write(&mut x, &values).unwrap();
        let mut outs: Vec<Vec<f32>> = (0..4).map(|_| backend.buffer(2 * values.len()).unwrap()).collect();
        for tokens in [TOKENS, 1] {
            let weights = [&a, &b, &alone, &nameless];
            let mut group: Vec<MatMul<'_, Observed<Reference>>> =
                weights.into_iter().zip(&mut outs).map(|(weight, out)| MatMul { weight, bias: None, out }).collect();
            backend.matmul(&x, tokens, &mut group).unwrap();
        }
        let rows: Vec<usize> = (0..TOKENS).chain([0]).collect();
        for name in ["fused", "alone"] {
            let seen = backend.squares(name).unwrap();
            assert_eq!((seen.sums(), seen.counts()), (&expected(&values, &rows)[..], &[TOKENS as u64 + 1][..]));
        }
        assert_eq!(backend.all_squares().map(|(name, _)| name).collect::<Vec<_>>(), ["alone", "fused"]);
        let mut plain = Reference;
        let (inner, mut out) = (plain.weight(weight(2, 0.0)).unwrap(), plain.buffer(2 * values.len()).unwrap());
        plain.matmul(&x, TOKENS, &mut [MatMul { weight: &inner, bias: None, out: &mut out }]).unwrap();
        assert_eq!(outs[0], out);
    }

    #[test]
    fn experts_are_counted_apart() {
        let mut backend = Observed::new(Reference);
        let stack: Vec<_> = (0..3).map(|e| backend.named_weight("exps", weight(2, e as f32)).unwrap()).collect();
        let values = inputs(4);
        let mut x = backend.buffer(values.len()).unwrap();
        backend.write(&mut x, &values).unwrap();
        let mut out = backend.buffer(10).unwrap();
        // Expert 1 gets nothing.
        let routes = Routes { rows: &[0, 2, 3, 0, 1], ends: &[2, 2, 5] };
        let mut group = [ExpertMatMul { weights: &stack, biases: None, out: &mut out }];
        backend.matmul_experts(&x, routes, &mut group).unwrap();
        let seen = backend.squares("exps").unwrap();
        assert_eq!(seen.counts(), [2, 0, 3]);
        let sums = [expected(&values, &[0, 2]), vec![0.0; COLS], expected(&values, &[3, 0, 1])].concat();
        assert_eq!(seen.sums(), sums);
    }

    #[test]
    fn a_product_that_is_refused_is_not_counted() {
        let mut backend = Observed::new(Reference);
        let a = backend.named_weight("a", weight(2, 0.0)).unwrap();
        assert!(matches!(
            backend.named_weight("a", Weight::from_f32(1, 2, &[1.0, 2.0]).unwrap()),
            Err(Error::Shape { .. })
        ));
        let x = backend.buffer(2).unwrap();
        let mut out = backend.buffer(2).unwrap();
        assert!(backend.matmul(&x, 1, &mut [MatMul { weight: &a, bias: None, out: &mut out }]).is_err());
        assert_eq!(backend.squares("a").unwrap().counts(), [0]);
    }
}
