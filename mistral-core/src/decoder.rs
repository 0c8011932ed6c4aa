//! From a checkpoint to something the engine can run.

use mistral_models::spec::Head;
use mistral_models::{
    Batch, Cache, CacheOptions, CachePlan, Checkpoint, Decoder, DecoderSpec, Description, KvGroup, Logits, Unsupported,
    Weights,
};
use mistral_quant::{Backend, Cpu, KvFormat};

use crate::error::Error;
use crate::forward::{CacheShape, Forward};
use crate::memory::{GroupNeeds, MemoryPlan, Needs};
use crate::options::Options;

/// The model that comes with this crate; `assets/default-model/README.md` is its card.
static EMBEDDED: &[u8] = include_bytes!("../assets/default-model/model.gguf");

/// The checkpoint inside this crate, three megabytes that are linked only into programs that ask for them.
///
/// ```
/// let checkpoint = mistral_core::embedded()?;
/// assert!(checkpoint.tensor_bytes() < 4_000_000);
/// # Ok::<(), mistral_core::Error>(())
/// ```
///
/// # Errors
/// None in practice: the file is known to be good.
pub fn embedded() -> Result<Checkpoint, Error> {
    Ok(Checkpoint::from_bytes(EMBEDDED)?)
}

/// What a model with `weights` bytes of weights will take, without loading it.
pub(crate) fn measure(weights: u64, description: &Description, options: &Options) -> Needs {
    let spec = description.spec();
    let step = |tokens, rows| spec.workspace_bytes(tokens, rows);
    let plan = spec.cache_plan(options.key_format, options.value_format);
    let small = spec.cache_plan(KvFormat::Q8_0, KvFormat::Q8_0);
    let group = |(group, small): (&KvGroup, &KvGroup)| GroupNeeds {
        token: group.bytes_per_token,
        token_q8: small.bytes_per_token,
        window: group.window,
    };
    Needs {
        context_length: spec.context_length,
        weights,
        groups: plan.groups.iter().zip(&small.groups).map(group).collect(),
        state: plan.state_bytes,
        workspace_token: step(1, 0),
        workspace_sequence: step(0, 1),
    }
}

/// Refuses a model that cannot generate, and a context beyond the positions that the model has a table of.
pub(crate) fn check(spec: &DecoderSpec, context_length: usize) -> Result<(), Error> {
    if let Head::None { .. } = spec.head {
        let detail = format!("generating with {}, an encoder without a head: run it by `models::Decoder`", spec.family);
        return Err(mistral_models::Error::from(Unsupported::Checkpoint { detail }).into());
    }
    match spec.positions.map(|learned| learned.rows.saturating_sub(learned.offset)) {
        Some(positions) if context_length > positions => {
            let detail = format!("{context_length} is more than the {positions} positions that the model has learned");
            Err(Error::InvalidParameter { name: "context_length", detail })
        }
        _ => Ok(()),
    }
}

/// Loads the model of these weights with a cache of the planned size.
pub(crate) fn load(
    weights: &dyn Weights,
    description: Description,
    plan: &MemoryPlan,
    options: Options,
) -> Result<Box<dyn Forward>, Error> {
    let MemoryPlan { context_length, block_tokens, slots, ref blocks } = *plan;
    let (key_format, value_format) = (options.key_format, options.value_format);
    let plan = description.spec().cache_plan(key_format, value_format);
    let mut decoder = Decoder::load(Cpu::new(options.cpu())?, weights, description)?;
    let blocks = blocks.clone();
    let cache = decoder.cache(CacheOptions { blocks, block_tokens, slots, key_format, value_format })?;
    Ok(Box::new(Loaded { decoder, cache, plan, context_length }))
}

/// A decoder and its cache.
struct Loaded<B: Backend> {
    decoder: Decoder<B>,
    cache: Cache<B>,
    plan: CachePlan,
    context_length: usize,
}

impl<B: Backend> Forward for Loaded<B> {
    fn vocab_size(&self) -> usize {
        self.decoder.spec().vocab_size
    }

    fn context_length(&self) -> usize {
        self.context_length
    }

    fn trained_context(&self) -> usize {
        self.decoder.spec().context_length
    }

    fn cache(&self) -> CacheShape {
        let options = self.cache.options();
        let groups = self.plan.groups.iter().enumerate();
        CacheShape {
            block_tokens: options.block_tokens,
            groups: groups.map(|(index, group)| (options.blocks_of(index), group.window)).collect(),
            slots: options.slots,
            keys_depend_on_length: self.plan.keys_depend_on_length,
        }
    }

    fn forward(&mut self, batch: &Batch, logits: &mut Logits) -> Result<(), mistral_models::Error> {
        self.decoder.forward(batch, &mut self.cache, logits)
    }
}
