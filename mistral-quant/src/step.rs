//! The host's part of a step, known before its first operation: ids, positions, block tables, rows of logits.

use std::ops::Range;

use crate::check::sizes::{ids, refuse};
use crate::error::Error;

/// Which cached positions a query sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Visible {
    /// Positions up to the query's own position.
    Causal,
    /// The query's own position and the `n - 1` positions before it. `n` is at least 1.
    Window(usize),
    /// Positions up to the query's own position, from the last multiple of `n` on (Llama 4). `n` is at least 1.
    Chunk(usize),
    /// All positions of the run's sequence up to the end of the run: encoders, whose sequence is one run.
    All,
    /// The first [`Run::keys`] positions of the block table, wherever the query is: cross-attention to an encoded text.
    Keys,
}

/// Consecutive tokens of one sequence inside a batch.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// Row of the first token in the batch.
    pub start: usize,
    /// Number of tokens, at least 1.
    pub tokens: usize,
    /// Position of the first token in its sequence; cache and state hold all earlier positions.
    pub position: usize,
    /// Number of positions that [`Visible::Keys`] sees.
    pub keys: usize,
    /// For each group of layers the cache blocks of the sequence: position `p` lies in slot `p % block_tokens` of block
    /// `table[p / block_tokens]`.
    pub tables: &'a [&'a [u32]],
    /// Slot of the recurrent state; any number for a decoder without state.
    pub slot: usize,
}

/// Cosines and sines of one kind of rotation. Each `[tokens, rotary_dim / 2]`.
#[derive(Debug, Clone, Copy)]
pub struct Rotation<'a> {
    /// Cosines.
    pub cos: &'a [f32],
    /// Sines.
    pub sin: &'a [f32],
}

/// The host's part of a step.
#[derive(Debug, Clone, Copy, Default)]
pub struct StepInput<'a> {
    /// Rows of activations.
    pub tokens: usize,
    /// Lists of ids for [`embed`](crate::Backend::embed): token ids, learned positions, token types. Each `[tokens]`.
    pub ids: &'a [&'a [u32]],
    /// The runs. No row belongs to two runs; no two runs share a state slot.
    pub runs: &'a [Run<'a>],
    /// Rows that [`gather`](crate::Backend::gather) takes.
    pub rows: &'a [u32],
    /// Tables for [`rope`](crate::Backend::rope).
    pub rotations: &'a [Rotation<'a>],
    /// Lists of factors for [`scale_rows`](crate::Backend::scale_rows). Each `[tokens]`.
    pub factors: &'a [&'a [f32]],
}

/// A step in host memory: what [`StepInput`] names, copied into memory that is reused from step to step.
#[derive(Debug, Clone, Default)]
pub struct HostStep {
    tokens: usize,
    runs: Vec<HostRun>,
    /// Tables per run.
    groups: usize,
    /// Block ids of all tables, run after run and group after group.
    blocks: Vec<u32>,
    /// `[runs, groups]`: where each table ends in `blocks`.
    table_ends: Vec<usize>,
    /// `[id_lists, tokens]`.
    ids: Vec<u32>,
    id_lists: usize,
    rows: Vec<u32>,
    rotations: Vec<HostRotation>,
    /// Of each rotation `[tokens, half]`, one after another.
    cosines: Vec<f32>,
    /// As `cosines`.
    sines: Vec<f32>,
    /// `[factor_lists, tokens]`.
    factors: Vec<f32>,
    factor_lists: usize,
    /// State slots of the runs, ascending.
    slots: Vec<usize>,
}

/// A run without its tables.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HostRun {
    pub(crate) start: usize,
    pub(crate) tokens: usize,
    pub(crate) position: usize,
    pub(crate) keys: usize,
    pub(crate) slot: usize,
}

#[derive(Debug, Clone, Copy)]
struct HostRotation {
    /// Index of the first angle.
    start: usize,
    /// Angles per token.
    half: usize,
}

/// A run with its block table of one group of layers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span<'a> {
    pub(crate) start: usize,
    pub(crate) tokens: usize,
    pub(crate) position: usize,
    pub(crate) keys: usize,
    pub(crate) blocks: &'a [u32],
}

/// [`Visible`] for the queries of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Up to the query's own position.
    Causal,
    /// As many positions, the query's own the last.
    Window(usize),
    /// From the last multiple up to the query's own position.
    Chunk(usize),
    /// The same first positions for every query.
    Upto(usize),
}

impl Reach {
    /// Returns the positions that a query at `position` sees.
    #[inline(always)]
    pub(crate) fn of(self, position: usize) -> Range<usize> {
        match self {
            Self::Causal => 0..position + 1,
            Self::Window(window) => (position + 1).saturating_sub(window)..position + 1,
            Self::Chunk(chunk) => position - position % chunk..position + 1,
            Self::Upto(end) => 0..end,
        }
    }
}

impl Span<'_> {
    /// Returns what the queries of the run see.
    pub(crate) fn reach(&self, visible: Visible) -> Reach {
        match visible {
            Visible::Causal => Reach::Causal,
            Visible::Window(window) => Reach::Window(window),
            Visible::Chunk(chunk) => Reach::Chunk(chunk),
            Visible::All => Reach::Upto(self.position + self.tokens),
            Visible::Keys => Reach::Upto(self.keys),
        }
    }
}

impl HostStep {
    /// Checks and copies a step. A refused step leaves the one before.
    pub(crate) fn begin(&mut self, input: &StepInput<'_>) -> Result<(), Error> {
        self.groups = checked(input)?;
        self.tokens = input.tokens;
        self.runs.clear();
        self.blocks.clear();
        self.table_ends.clear();
        for &Run { start, tokens, position, keys, tables, slot } in input.runs {
            self.runs.push(HostRun { start, tokens, position, keys, slot });
            for table in tables {
                self.blocks.extend_from_slice(table);
                self.table_ends.push(self.blocks.len());
            }
        }
        self.ids.clear();
        input.ids.iter().for_each(|list| self.ids.extend_from_slice(list));
        self.id_lists = input.ids.len();
        self.rows.clear();
        self.rows.extend_from_slice(input.rows);
        self.rotations.clear();
        self.cosines.clear();
        self.sines.clear();
        for Rotation { cos, sin } in input.rotations {
            let half = cos.len().checked_div(self.tokens).unwrap_or(0);
            self.rotations.push(HostRotation { start: self.cosines.len(), half });
            self.cosines.extend_from_slice(cos);
            self.sines.extend_from_slice(sin);
        }
        self.factors.clear();
        input.factors.iter().for_each(|list| self.factors.extend_from_slice(list));
        self.factor_lists = input.factors.len();
        self.slots.clear();
        self.slots.extend(input.runs.iter().map(|run| run.slot));
        self.slots.sort_unstable();
        Ok(())
    }

    /// Returns the number of rows of activations.
    pub(crate) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Returns the runs.
    pub(crate) fn runs(&self) -> &[HostRun] {
        &self.runs
    }

    /// Returns the state slots of the runs, ascending.
    pub(crate) fn slots(&self) -> &[usize] {
        &self.slots
    }

    /// Returns one list of ids, `[tokens]`.
    pub(crate) fn ids(&self, list: usize) -> Result<&[u32], Error> {
        part("list of ids", &self.ids, list, self.id_lists, self.tokens)
    }

    /// Returns one list of factors, `[tokens]`.
    pub(crate) fn factors(&self, list: usize) -> Result<&[f32], Error> {
        part("list of factors", &self.factors, list, self.factor_lists, self.tokens)
    }

    /// Returns the rows to gather.
    pub(crate) fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// Returns the angles of one rotation, `[tokens, rotary_dim / 2]` each.
    pub(crate) fn rotation(&self, table: usize) -> Result<Rotation<'_>, Error> {
        let limit = self.rotations.len() as u64;
        let rotation = self.rotations.get(table);
        let rotation = rotation.ok_or(Error::OutOfRange { what: "table of a rotation", index: table as u64, limit })?;
        let range = rotation.start..rotation.start + rotation.half * self.tokens;
        Ok(Rotation { cos: &self.cosines[range.clone()], sin: &self.sines[range] })
    }

    /// Returns the runs with their block tables of one group.
    pub(crate) fn spans(&self, group: usize) -> Result<impl Iterator<Item = Span<'_>> + Clone, Error> {
        if group >= self.groups && !self.runs.is_empty() {
            let (index, limit) = (group as u64, self.groups as u64);
            return Err(Error::OutOfRange { what: "group of block tables", index, limit });
        }
        Ok(self.runs.iter().enumerate().map(move |(i, &HostRun { start, tokens, position, keys, .. })| {
            let table = i * self.groups + group;
            let first = table.checked_sub(1).map_or(0, |before| self.table_ends[before]);
            Span { start, tokens, position, keys, blocks: &self.blocks[first..self.table_ends[table]] }
        }))
    }
}

/// Returns list `list` of `[lists, tokens]`.
fn part<'a, T>(what: &'static str, all: &'a [T], list: usize, lists: usize, tokens: usize) -> Result<&'a [T], Error> {
    if list >= lists {
        return Err(Error::OutOfRange { what, index: list as u64, limit: lists as u64 });
    }
    Ok(&all[list * tokens..(list + 1) * tokens])
}

/// Checks that the parts of a step fit together, and returns the number of tables per run.
fn checked(input: &StepInput<'_>) -> Result<usize, Error> {
    let &StepInput { tokens, ids: lists, runs, rows, rotations, factors } = input;
    let counts = lists.iter().map(|list| ("list of ids", list.len()));
    for (what, found) in counts.chain(factors.iter().map(|list| ("list of factors", list.len()))) {
        if found != tokens {
            return refuse(what, format!("{tokens}, one per token"), found);
        }
    }
    ids("gathered row", rows, tokens)?;
    for rotation in rotations {
        let (cos, sin) = (rotation.cos.len(), rotation.sin.len());
        if cos != sin || if tokens == 0 { cos != 0 } else { !cos.is_multiple_of(tokens) } {
            let expected = format!("as many cosines as sines, a multiple of {tokens} tokens");
            return refuse("table of a rotation", expected, format!("{cos} and {sin}"));
        }
    }
    let groups = runs.first().map_or(0, |run| run.tables.len());
    for run in runs {
        let &Run { start, tokens: own, position, tables, .. } = run;
        if own == 0 {
            return refuse("tokens of a run", "at least 1", 0);
        }
        if start.checked_add(own).is_none_or(|end| end > tokens) {
            return refuse("rows of a run", format!("inside {tokens} tokens"), format!("{own} from row {start}"));
        }
        if position.checked_add(own).is_none() {
            return refuse("positions of a run", "an end that can be addressed", format!("{own} from {position}"));
        }
        if tables.len() != groups {
            return refuse("block tables of a run", format!("{groups} as the first run has"), tables.len());
        }
    }
    disjoint(runs)?;
    Ok(groups)
}

/// Refuses a row that belongs to two runs: a backend may write all of them at the same time.
fn disjoint(runs: &[Run<'_>]) -> Result<(), Error> {
    let overlap = |a: &Run<'_>, b: &Run<'_>| a.start + a.tokens > b.start;
    if !runs.is_sorted_by(|a, b| !overlap(a, b)) {
        let mut sorted: Vec<&Run<'_>> = runs.iter().collect();
        sorted.sort_by_key(|run| run.start);
        if let Some(pair) = sorted.windows(2).find(|pair| overlap(pair[0], pair[1])) {
            return refuse("runs of a step", "rows of their own", format!("row {} in two runs", pair[1].start));
        }
    }
    Ok(())
}
