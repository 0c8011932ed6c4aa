//! The choice of a router in host memory.

use std::ops::Range;

use crate::error::Error;

/// Which rows a product with experts reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoutedInput {
    /// `x` is `[tokens, cols]`: each route reads the row of its token.
    Tokens,
    /// `x` is `[routes, cols]`: each route reads its own row.
    Routes,
}

/// Routes of tokens to experts in host memory, expert after expert; the routes of an expert are in the order of their tokens.
#[derive(Debug, Clone, Default)]
pub struct HostRoutes {
    /// Most routes.
    capacity: usize,
    /// Tokens that were routed.
    tokens: usize,
    /// `[routes]`: the token of each route.
    rows: Vec<u32>,
    /// `[routes]`: the weight of each route.
    weights: Vec<f32>,
    /// `[experts]`: where the routes of each expert end; ascending, the last one is the number of routes.
    ends: Vec<usize>,
    /// `[capacity]`: 0, 1, 2, ...
    own: Vec<u32>,
    /// `[routes]`: the choices of each token, before they are sorted by expert.
    choices: Vec<(u32, f32)>,
}

/// Which rows of an input go to which expert.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Routed<'a> {
    /// `[routes]`: the row of each route.
    pub(crate) rows: &'a [u32],
    /// `[experts]`: where the routes of each expert end.
    pub(crate) ends: &'a [usize],
}

impl Routed<'_> {
    /// Returns the routes of an expert; empty for one that does not exist.
    pub(crate) fn of(&self, expert: usize) -> Range<usize> {
        let Some(&end) = self.ends.get(expert) else { return 0..0 };
        expert.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0)..end
    }
}

impl HostRoutes {
    /// Makes room for `tokens * top_k` routes.
    pub(crate) fn new(tokens: usize, top_k: usize) -> Result<Self, Error> {
        let what = || format!("routes of {tokens} tokens to {top_k} experts each");
        let refused = |detail: String| Error::Resource { what: what(), detail };
        let capacity = tokens.checked_mul(top_k).filter(|&routes| u32::try_from(routes).is_ok());
        let capacity = capacity.ok_or_else(|| refused("more than 2^32 routes".into()))?;
        let mut routes = Self { capacity, ..Self::default() };
        let reserved = routes.rows.try_reserve_exact(capacity).and_then(|()| {
            routes.weights.try_reserve_exact(capacity)?;
            routes.own.try_reserve_exact(capacity)?;
            routes.choices.try_reserve_exact(capacity)
        });
        reserved.map_err(|error| refused(error.to_string()))?;
        routes.own.extend(0..capacity as u32);
        Ok(routes)
    }

    /// Returns the number of routes that there is room for.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Returns the number of tokens that were routed.
    pub(crate) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Returns the number of routes.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns the number of experts.
    pub(crate) fn experts(&self) -> usize {
        self.ends.len()
    }

    /// `[routes]`: the token of each route.
    pub(crate) fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// `[routes]`: the weight of each route.
    pub(crate) fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// Returns which rows of an input go to which expert.
    pub(crate) fn routed(&self, input: RoutedInput) -> Routed<'_> {
        let rows = match input {
            RoutedInput::Tokens => &self.rows,
            RoutedInput::Routes => &self.own[..self.rows.len()],
        };
        Routed { rows, ends: &self.ends }
    }

    /// Returns the number of rows of an input.
    pub(crate) fn input_rows(&self, input: RoutedInput) -> usize {
        match input {
            RoutedInput::Tokens => self.tokens,
            RoutedInput::Routes => self.rows.len(),
        }
    }

    /// Returns room for the expert and the weight of each choice, `[tokens, top_k]`; [`sort`](Self::sort) makes routes of them.
    pub(crate) fn choices(&mut self, tokens: usize, top_k: usize) -> &mut [(u32, f32)] {
        self.tokens = tokens;
        self.choices.clear();
        self.choices.resize(tokens * top_k, (0, 0.0));
        &mut self.choices
    }

    /// Sorts the choices by expert, those of an expert by token.
    pub(crate) fn sort(&mut self, experts: usize) {
        let routes = self.choices.len();
        let top_k = routes.checked_div(self.tokens).unwrap_or(0).max(1);
        self.ends.clear();
        self.ends.resize(experts, 0);
        // The number of routes of each expert, then where they start; in the end each has moved to where they end.
        self.choices.iter().for_each(|&(expert, _)| self.ends[expert as usize] += 1);
        let mut start = 0;
        for end in &mut self.ends {
            start += std::mem::replace(end, start);
        }
        self.rows.clear();
        self.rows.resize(routes, 0);
        self.weights.clear();
        self.weights.resize(routes, 0.0);
        for (i, &(expert, weight)) in self.choices.iter().enumerate() {
            let place = &mut self.ends[expert as usize];
            self.rows[*place] = (i / top_k) as u32;
            self.weights[*place] = weight;
            *place += 1;
        }
    }

    /// Copies rows and ends.
    pub(crate) fn read(&self, rows: &mut Vec<u32>, ends: &mut Vec<usize>) {
        rows.clone_from(&self.rows);
        ends.clone_from(&self.ends);
    }
}
