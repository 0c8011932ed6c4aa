//! Runs any [`DecoderSpec`] over a ragged, paged batch.

use mistral_quant::{Backend, MatMul, RmsNorm, Span};

use crate::batch::{Batch, Logits};
use crate::block::{Attention, Ffn, Scratch, Step};
use crate::cache::{Cache, CacheOptions};
use crate::config::Config;
use crate::loader::packed;
use crate::loading::Loading;
use crate::names::{Names, Role};
use crate::rope::RopeTable;
use crate::spec::{DecoderSpec, LayerSpec, Mixer, NormSpec, Placement};
use crate::{Checkpoint, Error, Weights, arch};
use serde_json::{Map, Value};

/// What one checkpoint's configuration says, before any weight is read.
///
/// ```no_run
/// use mistral_models::{Checkpoint, Description};
/// let checkpoint = Checkpoint::open("model.gguf")?;
/// let description = Description::new(&checkpoint)?;
/// println!("{} layers", description.spec().layers.len());
/// # Ok::<(), mistral_models::Error>(())
/// ```
pub struct Description {
    spec: DecoderSpec,
    names: Names,
    /// `general.architecture` of GGUF.
    architecture: &'static str,
}

impl Description {
    /// Finds the family of a checkpoint and translates its configuration.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an architecture, a scaling or a key that this version does not know; [`Error::Config`] for
    /// values that cannot be.
    pub fn new(checkpoint: &Checkpoint) -> Result<Self, Error> {
        match (checkpoint.metadata(), checkpoint.config_json()) {
            (_, Some(json)) => Self::from_json(json, checkpoint.weights()),
            (Some(metadata), None) => Self::from_config(&Config::from_metadata(metadata)?, checkpoint.weights()),
            (None, None) => Err(Error::Missing { kind: "file", name: "config.json".into() }),
        }
    }

    /// The same for a configuration in the form of Hugging Face's `config.json` and weights under that form's names, wherever both
    /// are kept.
    ///
    /// # Errors
    /// As [`Description::new`].
    pub fn from_json(config: &Map<String, Value>, weights: &dyn Weights) -> Result<Self, Error> {
        if packed::scheme(config)?.is_some() && !weights.unpacks_quantization() {
            return Err(Error::unsupported(
                "configuration key",
                "`quantization_config` for weights that are as stored",
            ));
        }
        Self::from_config(&Config::from_json(config)?, weights)
    }

    pub(crate) fn from_config(config: &Config, weights: &dyn Weights) -> Result<Self, Error> {
        let arch = arch::find(config)?;
        let spec = (arch.spec)(config, weights)?;
        config.finish()?;
        Ok(Self { spec, names: Names::new(config, arch.renames), architecture: arch.gguf_name() })
    }

    /// The decoder.
    pub fn spec(&self) -> &DecoderSpec {
        &self.spec
    }

    /// What a GGUF file calls a tensor of this checkpoint. `None` for one that a decoder does not load.
    pub(crate) fn gguf_name(&self, name: &str) -> Option<String> {
        let (role, name) = self.role(name)?;
        (role != Role::Head || !self.spec.tied_head).then_some(name)
    }

    /// The role of a tensor of this checkpoint, and its name in GGUF files.
    pub(crate) fn role(&self, name: &str) -> Option<(Role, String)> {
        self.names.translate(name)
    }

    /// What GGUF files call the family.
    pub(crate) fn architecture(&self) -> &'static str {
        self.architecture
    }
}

struct Layer<B: Backend> {
    attention: Attention<B>,
    attention_norm: B::Weight,
    ffn: Ffn<B>,
    ffn_norm: B::Weight,
    /// After the attention and after the feed-forward network, for [`Placement::BeforeAndAfter`].
    post_norms: Option<(B::Weight, B::Weight)>,
    norm: RmsNorm,
}

/// Buffers for steps of up to `tokens` tokens and `rows` rows of logits.
struct Work<B: Backend> {
    tokens: usize,
    rows: usize,
    /// `[tokens, hidden_size]`: the residual stream.
    hidden: B::Buffer,
    /// `[tokens, hidden_size]`: what a block reads.
    normed: B::Buffer,
    /// `[tokens, hidden_size]`: what a block writes.
    out: B::Buffer,
    /// `[rows, hidden_size]` twice and `[rows, vocab_size]`.
    last: B::Buffer,
    last_normed: B::Buffer,
    logits: B::Buffer,
    ropes: Vec<(B::Buffer, B::Buffer)>,
    scratch: Scratch<B>,
}

/// A decoder-only language model on a backend.
///
/// The cache is not part of it: [`Decoder::cache`] makes one, and [`Decoder::forward`] reads and extends it. Working memory grows to
/// the largest step seen ([`DecoderSpec::workspace_bytes`]).
pub struct Decoder<B: Backend> {
    backend: B,
    spec: DecoderSpec,
    embedding: B::Weight,
    /// `None` when the embedding is the head.
    head: Option<B::Weight>,
    final_norm: B::Weight,
    layers: Vec<Layer<B>>,
    ropes: Vec<RopeTable>,
    work: Option<Work<B>>,
}

impl<B: Backend> Decoder<B> {
    /// Takes the weights that a description belongs to; on a backend that reads host memory nothing is copied but norms and biases.
    ///
    /// # Errors
    /// [`Error::Missing`] or [`Error::Shape`] for a tensor that is not as the configuration says, [`Error::Unsupported`] for a tensor
    /// format without arithmetic and for tensors that the architecture does not use.
    pub fn load(mut backend: B, weights: &dyn Weights, description: Description) -> Result<Self, Error> {
        let Description { spec, names, .. } = description;
        let DecoderSpec { hidden_size, vocab_size, .. } = spec;
        let mut loading = Loading::new(&mut backend, weights, names);
        let mut ropes: Vec<RopeTable> = Vec::new();
        let mut layers = Vec::with_capacity(spec.layers.len());
        for (index, layer) in spec.layers.iter().enumerate() {
            layers.push(Layer::load(&mut loading, index, hidden_size, layer, &mut ropes)?);
        }
        // Of a tied pair either may have been stored.
        let only_head = spec.tied_head && !loading.has(Role::Embedding, 0) && loading.has(Role::Head, 0);
        let stored = if only_head { Role::Head } else { Role::Embedding };
        let embedding = loading.matrix(stored, 0, vocab_size, hidden_size)?;
        let final_norm = loading.vector(Role::FinalNorm, 0, "weight", hidden_size)?;
        let head = match spec.tied_head {
            false => Some(loading.matrix(Role::Head, 0, vocab_size, hidden_size)?),
            true => None,
        };
        for role in [Role::Head, Role::RopeFactors, Role::RopeFactorsLong, Role::RopeFactorsShort] {
            loading.known(role);
        }
        loading.finish()?;
        Ok(Self { backend, spec, embedding, head, final_norm, layers, ropes, work: None })
    }

    /// What this decoder computes.
    pub fn spec(&self) -> &DecoderSpec {
        &self.spec
    }

    /// What it computes on.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// An empty cache for this decoder.
    ///
    /// # Errors
    /// [`Error::Quant`] when the backend refuses the memory.
    pub fn cache(&mut self, options: CacheOptions) -> Result<Cache<B>, Error> {
        Cache::new(&mut self.backend, &self.spec, options)
    }

    /// Computes one step: caches keys and values of all tokens, and gives the logits of the rows asked for.
    ///
    /// A token's logits do not depend on what else is in the batch, nor on how its sequence was cut into runs.
    ///
    /// # Errors
    /// [`Error::Batch`] for a token id, position or block table that does not fit; nothing is written then. After another error the
    /// sequences of the batch must be started again, the rest of the cache is untouched.
    pub fn forward(&mut self, batch: &Batch, cache: &mut Cache<B>, logits: &mut Logits) -> Result<(), Error> {
        self.check(batch, cache)?;
        let rows = batch.logit_rows();
        logits.reset(rows.len(), self.spec.vocab_size);
        if batch.is_empty() {
            return Ok(());
        }
        let (tokens, hidden_size) = (batch.tokens().len(), self.spec.hidden_size);
        let mut work = self.reserve(tokens, rows.len())?;
        self.rotate(batch, &mut work)?;
        let spans: Vec<Span<'_>> = batch
            .sequences()
            .iter()
            .map(|s| Span { start: s.start, tokens: s.tokens, position: s.position, blocks: &s.block_table })
            .collect();
        let Work { hidden, normed, out, ropes, scratch, .. } = &mut work;
        let step = Step { tokens, spans: &spans, ropes };
        let backend = &mut self.backend;
        backend.embed(&self.embedding, batch.tokens(), self.spec.embedding_scale, hidden)?;
        for (index, (layer, kv)) in self.layers.iter().zip(&mut cache.layers).enumerate() {
            match index {
                0 => backend.rms_norm(hidden, tokens, &layer.attention_norm, layer.norm, normed)?,
                _ => backend.add_rms_norm(hidden, out, tokens, &layer.attention_norm, layer.norm, normed)?,
            }
            layer.attention.forward(backend, &step, kv, scratch, normed, out)?;
            if let Some((after, _)) = &layer.post_norms {
                backend.rms_norm_in_place(out, tokens, after, layer.norm)?;
            }
            backend.add_rms_norm(hidden, out, tokens, &layer.ffn_norm, layer.norm, normed)?;
            layer.ffn.forward(backend, &step, scratch, normed, out)?;
            if let Some((_, after)) = &layer.post_norms {
                backend.rms_norm_in_place(out, tokens, after, layer.norm)?;
            }
        }
        backend.add(hidden, out, tokens * hidden_size)?;
        if !rows.is_empty() {
            self.head(&rows, &mut work, logits)?;
        }
        self.work = Some(work);
        Ok(())
    }

    /// The logits of some rows of the residual stream.
    fn head(&mut self, rows: &[u32], work: &mut Work<B>, logits: &mut Logits) -> Result<(), Error> {
        let DecoderSpec { hidden_size, vocab_size, .. } = self.spec;
        let backend = &mut self.backend;
        let norm = self.spec.final_norm.over(hidden_size);
        backend.gather(&work.hidden, rows, hidden_size, &mut work.last)?;
        backend.rms_norm(&work.last, rows.len(), &self.final_norm, norm, &mut work.last_normed)?;
        let weight = self.head.as_ref().unwrap_or(&self.embedding);
        backend.matmul(&work.last_normed, rows.len(), &mut [MatMul { weight, bias: None, out: &mut work.logits }])?;
        if let Some(cap) = self.spec.logit_soft_cap {
            backend.soft_cap(&mut work.logits, rows.len() * vocab_size, cap)?;
        }
        Ok(backend.read(&work.logits, 0, logits.values_mut())?)
    }

    fn check(&self, batch: &Batch, cache: &Cache<B>) -> Result<(), Error> {
        let error = |detail: String| Err(Error::Batch { detail });
        let vocab_size = self.spec.vocab_size;
        if let Some((row, id)) = batch.tokens().iter().enumerate().find(|(_, id)| **id as usize >= vocab_size) {
            return error(format!("token id {id} at row {row} is not below the vocabulary's size {vocab_size}"));
        }
        let CacheOptions { blocks, block_tokens, .. } = cache.options();
        for (index, s) in batch.sequences().iter().enumerate() {
            let slots = s.block_table.len().saturating_mul(block_tokens);
            let end = s.position.saturating_add(s.tokens);
            if end > slots {
                return error(format!("sequence {index} ends at position {end}, its block table has {slots} slots"));
            }
            if let Some(block) = s.block_table.iter().find(|b| **b as usize >= blocks) {
                return error(format!("block {block} of sequence {index} is not below the cache's {blocks} blocks"));
            }
        }
        if cache.layers.len() != self.layers.len() {
            return error(format!("the cache has {} layers, the decoder {}", cache.layers.len(), self.layers.len()));
        }
        Ok(())
    }

    /// Buffers for a step; kept from the last one when they are large enough.
    fn reserve(&mut self, tokens: usize, rows: usize) -> Result<Work<B>, Error> {
        let (mut room, mut room_rows) = (tokens, rows);
        if let Some(work) = self.work.take() {
            if work.tokens >= tokens && work.rows >= rows {
                return Ok(work);
            }
            (room, room_rows) = (room.max(work.tokens), room_rows.max(work.rows));
        }
        let DecoderSpec { hidden_size, vocab_size, .. } = self.spec;
        let widest = self.spec.widest();
        let backend = &mut self.backend;
        let mut ropes = Vec::with_capacity(self.ropes.len());
        for rope in &self.ropes {
            let len = room * rope.spec().rotary_dim / 2;
            ropes.push((backend.buffer(len)?, backend.buffer(len)?));
        }
        Ok(Work {
            tokens: room,
            rows: room_rows,
            hidden: backend.buffer(room * hidden_size)?,
            normed: backend.buffer(room * hidden_size)?,
            out: backend.buffer(room * hidden_size)?,
            last: backend.buffer(room_rows * hidden_size)?,
            last_normed: backend.buffer(room_rows * hidden_size)?,
            logits: backend.buffer(room_rows * vocab_size)?,
            ropes,
            scratch: Scratch::new(backend, room, widest)?,
        })
    }

    /// Writes the cosines and sines of the batch's positions.
    fn rotate(&mut self, batch: &Batch, work: &mut Work<B>) -> Result<(), Error> {
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        for (table, (cos_buffer, sin_buffer)) in self.ropes.iter().zip(&mut work.ropes) {
            cos.clear();
            sin.clear();
            for s in batch.sequences() {
                table.extend(s.position, s.tokens, s.length, &mut cos, &mut sin);
            }
            self.backend.write(cos_buffer, &cos)?;
            self.backend.write(sin_buffer, &sin)?;
        }
        Ok(())
    }
}

impl<B: Backend> Layer<B> {
    fn load(
        loading: &mut Loading<'_, B>,
        index: usize,
        hidden_size: usize,
        spec: &LayerSpec,
        ropes: &mut Vec<RopeTable>,
    ) -> Result<Self, Error> {
        let Mixer::Attention(attention) = &spec.mixer;
        let rope = ropes.iter().position(|table| table.same(&attention.rope)).unwrap_or(ropes.len());
        let loaded = Attention::load(loading, index, hidden_size, attention, rope)?;
        // The tensors have borne out the width of a head by now: a configuration that lies allocates nothing.
        if rope == ropes.len() {
            ropes.push(RopeTable::new(&attention.rope));
        }
        let norm = |loading: &mut Loading<'_, B>, role| loading.vector(role, index, "weight", hidden_size);
        Ok(Self {
            attention: loaded,
            attention_norm: norm(loading, Role::AttentionNorm)?,
            ffn: Ffn::load(loading, index, hidden_size, &spec.ffn)?,
            ffn_norm: norm(loading, Role::FfnNorm)?,
            post_norms: match spec.placement {
                Placement::Before => None,
                Placement::BeforeAndAfter => {
                    Some((norm(loading, Role::AttentionPostNorm)?, norm(loading, Role::FfnPostNorm)?))
                }
            },
            norm: spec.norm.over(hidden_size),
        })
    }
}

impl NormSpec {
    fn over(self, width: usize) -> RmsNorm {
        RmsNorm { width, eps: self.eps, offset: self.offset }
    }
}
