//! Runs any [`DecoderSpec`] over a ragged, paged batch.

use mistral_quant::Backend;
use mistral_quant::backend::{Activation, Rotation, Run as DeviceRun, StepInput};

use crate::batch::{Batch, Logits};
use crate::batch_error::BatchError;
use crate::block::linear::{Linear, Observation, Observer};
use crate::block::norm::NormWeights;
use crate::block::scratch::Scratch;
use crate::block::{Step, Tables};
use crate::cache::{Cache, CacheOptions};
use crate::description::Description;
use crate::error::Error;
use crate::layer::{Layer, Stream};
use crate::loader::weights::Weights;
use crate::loading::Loading;
use crate::names::{At, Role};
use crate::spec::{DecoderSpec, Head};

/// Buffers for steps of up to `tokens` tokens and `rows` rows of logits.
struct Work<B: Backend> {
    tokens: usize,
    rows: usize,
    device: B::Step,
    stream: Stream<B>,
    scratch: Scratch<B>,
    /// `[rows, hidden_size]` twice and `[rows, vocab_size]`.
    last: B::Buffer,
    last_normed: B::Buffer,
    logits: B::Buffer,
}

/// The head and what stands before it.
struct HeadWeights<B: Backend> {
    norm: Option<NormWeights<B>>,
    /// `None` when the embedding is the head, and for an encoder.
    own: Option<Linear<B>>,
    pooler: Option<Linear<B>>,
}

/// A language model on a backend.
///
/// The cache is not part of it: [`Decoder::cache`] makes one, and [`Decoder::forward`] reads and extends it. Working memory grows to
/// the largest step seen ([`DecoderSpec::workspace_bytes`]).
pub struct Decoder<B: Backend> {
    backend: B,
    spec: DecoderSpec,
    /// Also the head of a decoder without one of its own.
    embedding: Linear<B>,
    positions: Option<B::Weight>,
    token_types: Option<B::Weight>,
    embedding_norm: Option<NormWeights<B>>,
    head: HeadWeights<B>,
    layers: Vec<Layer<B>>,
    tables: Tables,
    work: Option<Work<B>>,
}

impl<B: Backend> Decoder<B> {
    /// Takes the weights that a description belongs to; on a backend that reads host memory nothing is copied but norms, biases and
    /// matrices that the checkpoint stores in another order.
    ///
    /// # Errors
    /// [`Error::Missing`] or [`Error::Shape`] for a tensor that is not as the configuration says, [`Error::Unsupported`] for a tensor
    /// format without arithmetic and for tensors that the architecture does not use.
    pub fn load(mut backend: B, weights: &dyn Weights, description: Description) -> Result<Self, Error> {
        let (spec, names) = description.into_parts();
        let DecoderSpec { hidden_size, vocab_size, head, .. } = spec;
        let mut loading = Loading::new(&mut backend, weights, names);
        let (mut tables, mut blocks) = (Tables::default(), 0);
        let mut layers = Vec::with_capacity(spec.layers.len());
        for (index, layer) in spec.layers.iter().enumerate() {
            layers.push(Layer::load(&mut loading, index, hidden_size, layer, &mut tables, &mut blocks)?);
        }
        let top = At::default();
        // Of a tied pair either may have been stored.
        let only_head = head == Head::Tied && !loading.has(Role::Embedding, top) && loading.has(Role::Head, top);
        let stored = if only_head { Role::Head } else { Role::Embedding };
        let embedding = loading.linear(stored, top, [vocab_size, hidden_size], false)?;
        let positions = spec.positions.map(|positions| loading.table(Role::Positions, [positions.rows, hidden_size]));
        let types = (spec.token_types > 0).then(|| loading.table(Role::TokenTypes, [spec.token_types, hidden_size]));
        let (positions, token_types) = (positions.transpose()?, types.transpose()?);
        let mut norm = |role, norm: Option<_>| {
            norm.map(|norm| NormWeights::load(&mut loading, role, top, norm, hidden_size)).transpose()
        };
        let embedding_norm = norm(Role::EmbeddingNorm, spec.embedding_norm)?;
        let norm = norm(Role::FinalNorm, spec.final_norm)?;
        let own = match head {
            Head::Own { bias } => Some(loading.linear(Role::Head, top, [vocab_size, hidden_size], bias)?),
            Head::Tied | Head::None { .. } => None,
        };
        let pooler = match head {
            Head::None { pooler: true } => Some(loading.linear(Role::Pooler, top, [hidden_size, hidden_size], true)?),
            _ => None,
        };
        for role in [Role::Head, Role::RopeFactors, Role::RopeFactorsLong, Role::RopeFactorsShort] {
            loading.mark(role);
        }
        loading.finish()?;
        let head = HeadWeights { norm, own, pooler };
        Ok(Self { backend, spec, embedding, positions, token_types, embedding_norm, head, layers, tables, work: None })
    }

    /// Returns what this decoder computes.
    pub fn spec(&self) -> &DecoderSpec {
        &self.spec
    }

    /// Returns what it computes on.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// Makes an empty cache for this decoder.
    ///
    /// # Errors
    /// [`Error::Quant`] when the backend refuses the memory.
    pub fn cache(&mut self, options: CacheOptions) -> Result<Cache<B>, Error> {
        Cache::new(&mut self.backend, &self.spec, options)
    }

    /// Computes one step: caches what all tokens leave behind, and returns the logits of the rows asked for; of an encoder, the rows
    /// of the residual stream.
    ///
    /// On [`Cpu`](mistral_quant::Cpu) a token's logits do not depend on what else is in the batch, nor on how its sequence was cut into
    /// runs. An encoder's text is one run from position 0.
    ///
    /// # Errors
    /// [`Error::Batch`] for a token id, position or block table that does not fit; nothing is written then. After another error the
    /// sequences of the batch must be started again, the rest of the cache is untouched.
    pub fn forward(&mut self, batch: &Batch, cache: &mut Cache<B>, logits: &mut Logits) -> Result<(), Error> {
        self.step(batch, cache, logits, None)
    }

    /// Computes a step as [`forward`](Self::forward) and shows the input of every product to `sink`.
    pub(crate) fn observe(
        &mut self,
        batch: &Batch,
        cache: &mut Cache<B>,
        logits: &mut Logits,
        sink: &mut dyn FnMut(Observation<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.step(batch, cache, logits, Some(Observer::new(sink)))
    }

    fn step(
        &mut self,
        batch: &Batch,
        cache: &mut Cache<B>,
        logits: &mut Logits,
        observer: Option<Observer<'_>>,
    ) -> Result<(), Error> {
        self.check(batch, cache)?;
        let rows = batch.logit_rows();
        let width =
            if matches!(self.spec.head, Head::None { .. }) { self.spec.hidden_size } else { self.spec.vocab_size };
        logits.reset(rows.len(), width);
        if batch.is_empty() {
            return Ok(());
        }
        let tokens = batch.tokens().len();
        let mut work = self.reserve(tokens, rows.len())?;
        self.begin(batch, &rows, &mut work)?;
        let Work { device, stream, scratch, .. } = &mut work;
        (stream.pending, stream.len) = (None, tokens * self.spec.hidden_size);
        self.embed(batch, device, tokens, stream)?;
        let mut step = Step { tokens, device, observer };
        for layer in &self.layers {
            layer.forward(&mut self.backend, &mut step, cache, scratch, stream)?;
        }
        stream.settle(&mut self.backend)?;
        let observer = step.observer;
        if !rows.is_empty() {
            self.finish(rows.len(), &mut work, observer, logits)?;
        }
        self.work = Some(work);
        Ok(())
    }

    /// Sends up what the host knows of the step.
    fn begin(&mut self, batch: &Batch, rows: &[u32], work: &mut Work<B>) -> Result<(), Error> {
        let tokens = batch.tokens().len();
        let positions = || batch.runs().iter().flat_map(|run| run.position..run.position + run.tokens);
        let offset = self.spec.positions.map_or(0, |positions| positions.offset);
        // The last list is taken where there are no learned positions.
        let learned: Vec<u32> = match self.positions {
            Some(_) => positions().map(|position| (position + offset) as u32).collect(),
            None => Vec::new(),
        };
        let mut ids = vec![batch.tokens()];
        ids.extend(self.positions.is_some().then_some(&learned[..]));
        ids.extend(self.token_types.is_some().then_some(batch.token_types()));
        let tables: Vec<Vec<&[u32]>> =
            batch.runs().iter().map(|run| run.tables.iter().map(Vec::as_slice).collect()).collect();
        let runs: Vec<DeviceRun<'_>> = batch
            .runs()
            .iter()
            .zip(&tables)
            .map(|(run, tables)| DeviceRun {
                start: run.start,
                tokens: run.tokens,
                position: run.position,
                keys: run.position + run.tokens,
                tables,
                slot: run.slot,
            })
            .collect();
        let turned: Vec<(Vec<f32>, Vec<f32>)> = self
            .tables
            .ropes
            .iter()
            .map(|table| {
                let (mut cos, mut sin) = (Vec::new(), Vec::new());
                for run in batch.runs() {
                    table.extend(run.position, run.tokens, run.length, &mut cos, &mut sin);
                }
                (cos, sin)
            })
            .collect();
        let rotations: Vec<Rotation<'_>> = turned.iter().map(|(cos, sin)| Rotation { cos, sin }).collect();
        let mut factors: Vec<Vec<f32>> =
            self.tables.temperatures.iter().map(|t| positions().map(|position| t.factor(position)).collect()).collect();
        if !batch.soft().is_empty() {
            factors.push(self.soft(batch, work)?);
        }
        let factors: Vec<&[f32]> = factors.iter().map(Vec::as_slice).collect();
        let (ids, runs, rotations, factors) = (&ids[..], &runs[..], &rotations[..], &factors[..]);
        Ok(self.backend.begin(&mut work.device, &StepInput { tokens, ids, runs, rows, rotations, factors })?)
    }

    /// Sends up soft tokens; returns the factors that make room for them among the embeddings.
    fn soft(&mut self, batch: &Batch, work: &mut Work<B>) -> Result<Vec<f32>, Error> {
        let (tokens, width) = (batch.tokens().len(), self.spec.hidden_size);
        let mut values = vec![0.0; tokens * width];
        let mut factors = vec![1.0; tokens];
        for (start, soft) in batch.soft() {
            values.iter_mut().skip(start * width).zip(soft).for_each(|(value, soft)| *value = *soft);
            factors.iter_mut().skip(*start).take(soft.len() / width.max(1)).for_each(|factor| *factor = 0.0);
        }
        self.backend.write(&mut work.stream.normed, &values)?;
        Ok(factors)
    }

    /// Starts the residual stream.
    fn embed(&mut self, batch: &Batch, device: &B::Step, tokens: usize, stream: &mut Stream<B>) -> Result<(), Error> {
        let Stream { hidden, normed, out, len, .. } = stream;
        let backend = &mut self.backend;
        backend.embed(device, 0, &self.embedding.weight, self.spec.embedding_scale, hidden)?;
        if !batch.soft().is_empty() {
            backend.scale_rows(device, self.tables.temperatures.len(), hidden, self.spec.hidden_size)?;
            backend.add(hidden, normed, *len, 1.0)?;
        }
        for (list, table) in self.positions.iter().chain(&self.token_types).enumerate() {
            backend.embed(device, list + 1, table, 1.0, out)?;
            backend.add(hidden, out, *len, 1.0)?;
        }
        if let Some(norm) = &self.embedding_norm {
            backend.norm_in_place(hidden, tokens, norm.op())?;
        }
        Ok(())
    }

    /// Computes the logits of some rows of the residual stream.
    fn finish(
        &mut self,
        rows: usize,
        work: &mut Work<B>,
        mut observer: Option<Observer<'_>>,
        logits: &mut Logits,
    ) -> Result<(), Error> {
        let DecoderSpec { hidden_size, vocab_size, logit_scale, head, .. } = self.spec;
        let backend = &mut self.backend;
        let Work { device, stream, last, last_normed, logits: scores, .. } = work;
        backend.gather(device, &stream.hidden, hidden_size, last)?;
        let normed = match &self.head.norm {
            Some(norm) => {
                backend.norm(last, rows, norm.op(), last_normed)?;
                last_normed
            }
            None => last,
        };
        if matches!(head, Head::None { .. }) {
            return Ok(backend.read(normed, 0, logits.values_mut())?);
        }
        let weight = self.head.own.as_ref().unwrap_or(&self.embedding);
        weight.forward(backend, observer.as_mut(), normed, [rows, hidden_size], scores)?;
        if logit_scale != 1.0 {
            backend.scale(scores, rows * vocab_size, logit_scale)?;
        }
        if let Some(cap) = self.spec.logit_soft_cap {
            backend.soft_cap(scores, rows * vocab_size, cap)?;
        }
        Ok(backend.read(scores, 0, logits.values_mut())?)
    }

    /// Applies the pooler of an encoder to rows that [`forward`](Self::forward) returned, usually the first row of each text:
    /// `tanh(row · weightᵀ + bias)`. Shape `[rows, hidden_size]` both.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a checkpoint without a pooler, [`Error::Batch`] for rows of another width.
    pub fn pool(&mut self, rows: &Logits) -> Result<Logits, Error> {
        let none = || Error::unsupported("checkpoint", "a pooler is asked for, and the checkpoint has none");
        let pooler = self.head.pooler.as_ref().ok_or_else(none)?;
        let width = self.spec.hidden_size;
        if rows.vocab_size() != width {
            let detail = format!("rows of {} values; expected {width}", rows.vocab_size());
            return Err(BatchError::Other { detail }.into());
        }
        let mut pooled = Logits::default();
        pooled.reset(rows.rows(), width);
        let (mut x, mut out) = (self.backend.buffer(rows.values().len())?, self.backend.buffer(rows.values().len())?);
        self.backend.write(&mut x, rows.values())?;
        pooler.forward(&mut self.backend, None, &x, [rows.rows(), width], &mut out)?;
        self.backend.activate(&mut out, rows.values().len(), Activation::Tanh)?;
        self.backend.read(&out, 0, pooled.values_mut())?;
        Ok(pooled)
    }

    /// Returns buffers for a step; those of the last one when they are large enough.
    fn reserve(&mut self, tokens: usize, rows: usize) -> Result<Work<B>, Error> {
        let (mut room, mut room_rows) = (tokens, rows);
        if let Some(work) = self.work.take() {
            if work.tokens >= tokens && work.rows >= rows {
                return Ok(work);
            }
            (room, room_rows) = (room.max(work.tokens), room_rows.max(work.rows));
        }
        let sizes = self.spec.work_sizes(room, room_rows);
        let backend = &mut self.backend;
        Ok(Work {
            tokens: room,
            rows: room_rows,
            device: backend.step()?,
            stream: Stream {
                hidden: backend.buffer(sizes.stream)?,
                normed: backend.buffer(sizes.stream)?,
                out: backend.buffer(sizes.stream)?,
                further: backend.buffer(sizes.further)?,
                pending: None,
                len: 0,
            },
            scratch: Scratch::new(backend, room, self.spec.widths())?,
            last: backend.buffer(sizes.last)?,
            last_normed: backend.buffer(sizes.last)?,
            logits: backend.buffer(sizes.logits)?,
        })
    }
}
