//! How much the columns of a matrix matter: sums of squares of what they are multiplied with.

use std::collections::BTreeMap;

use crate::block::linear::Observation;
use crate::error::Error;

/// What the columns of one matrix, or of each matrix of a stack of experts, were multiplied with.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct ColumnSquares {
    cols: usize,
    /// `[matrices, cols]`.
    sums: Vec<f64>,
    /// `[matrices]`: rows of input that were summed.
    counts: Vec<u64>,
}

/// The squares of all matrices that were observed, by their names in GGUF files.
#[derive(Debug, Default)]
pub(super) struct Squares {
    matrices: BTreeMap<String, ColumnSquares>,
}

impl ColumnSquares {
    /// `[matrices, cols]`: sums of the squares of the inputs.
    pub(super) fn sums(&self) -> &[f64] {
        &self.sums
    }

    /// `[matrices]`: rows of input that were summed.
    pub(super) fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Adds one row of input of a matrix.
    fn add(&mut self, matrix: usize, row: &[f32]) {
        if self.counts.len() <= matrix {
            self.counts.resize(matrix + 1, 0);
            self.sums.resize(self.cols.saturating_mul(matrix + 1), 0.0);
        }
        let start = matrix.saturating_mul(self.cols);
        for (sum, x) in self.sums.iter_mut().skip(start).zip(row) {
            *sum += f64::from(*x) * f64::from(*x);
        }
        if let Some(count) = self.counts.get_mut(matrix) {
            *count += 1;
        }
    }
}

impl Squares {
    /// Adds the rows of an observation.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a matrix whose inputs change their width.
    pub(super) fn add(&mut self, seen: &Observation<'_>) -> Result<(), Error> {
        let cols = seen.input.len().checked_div(seen.rows).unwrap_or(0);
        if !self.matrices.contains_key(seen.name) {
            self.matrices.insert(seen.name.to_owned(), ColumnSquares { cols, ..ColumnSquares::default() });
        }
        let Some(squares) = self.matrices.get_mut(seen.name).filter(|squares| squares.cols == cols) else {
            return Err(Error::malformed(format!("tensor `{}`", seen.name), format!("an input of {cols} columns")));
        };
        let mut rows = seen.input.chunks_exact(cols.max(1));
        let Some((routed, ends)) = seen.routes else {
            rows.by_ref().for_each(|row| squares.add(0, row));
            return Ok(());
        };
        let mut start = 0;
        for (expert, end) in ends.iter().enumerate() {
            for route in routed.get(start..*end).unwrap_or_default() {
                let row = seen.input.get(*route as usize * cols..).and_then(|rest| rest.get(..cols));
                squares.add(expert, row.unwrap_or_default());
            }
            start = *end;
        }
        // An expert that was never chosen has a place as well.
        squares.counts.resize(squares.counts.len().max(ends.len()), 0);
        squares.sums.resize(squares.counts.len().saturating_mul(cols), 0.0);
        Ok(())
    }

    /// All matrices by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &ColumnSquares)> {
        self.matrices.iter().map(|(name, squares)| (name.as_str(), squares))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation<'a>(input: &'a [f32], rows: usize, routes: Option<(&'a [u32], &'a [usize])>) -> Observation<'a> {
        Observation { name: "a.weight", input, rows, routes }
    }

    #[test]
    fn squares_are_summed_by_column() {
        let mut squares = Squares::default();
        squares.add(&observation(&[1.0, 2.0, 3.0, 4.0], 2, None)).unwrap();
        squares.add(&observation(&[1.0, 0.0], 1, None)).unwrap();
        let (name, sums) = squares.iter().next().unwrap();
        assert_eq!((name, sums.sums(), sums.counts()), ("a.weight", &[11.0, 20.0][..], &[3][..]));
        assert!(matches!(squares.add(&observation(&[1.0; 3], 1, None)), Err(Error::Malformed { .. })));
    }

    #[test]
    fn each_expert_sums_its_own_rows() {
        let mut squares = Squares::default();
        let routes: (&[u32], &[usize]) = (&[1, 0, 1], &[1, 1, 3, 3]);
        squares.add(&observation(&[1.0, 2.0, 3.0, 4.0], 2, Some(routes))).unwrap();
        let (_, sums) = squares.iter().next().unwrap();
        assert_eq!(sums.sums(), [9.0, 16.0, 0.0, 0.0, 10.0, 20.0, 0.0, 0.0]);
        assert_eq!(sums.counts(), [1, 0, 2, 0]);
    }
}
