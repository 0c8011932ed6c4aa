//! From a checkpoint to something the engine can run.

use mistral_models::{Batch, Cache, CacheOptions, Checkpoint, Decoder, Description, Logits, Weights};
use mistral_quant::{Backend, Cpu, KvFormat};

use crate::Error;
use crate::builder::Options;
use crate::forward::Forward;
use crate::memory::{MemoryPlan, Needs};

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
    Needs {
        context_length: spec.context_length,
        weights,
        kv_token: spec.kv_bytes_per_token(options.key_format, options.value_format),
        kv_token_q8: spec.kv_bytes_per_token(KvFormat::Q8_0, KvFormat::Q8_0),
        workspace_token: step(1, 0),
        workspace_sequence: step(0, 1),
    }
}

/// Loads the model of these weights with a cache of the planned size.
pub(crate) fn load(
    weights: &dyn Weights,
    description: Description,
    plan: &MemoryPlan,
    options: Options,
) -> Result<Box<dyn Forward>, Error> {
    let MemoryPlan { context_length, block_tokens, blocks } = *plan;
    let (key_format, value_format) = (options.key_format, options.value_format);
    let mut decoder = Decoder::load(Cpu::new(options.cpu)?, weights, description)?;
    let cache = decoder.cache(CacheOptions { blocks, block_tokens, key_format, value_format })?;
    Ok(Box::new(Loaded { decoder, cache, context_length }))
}

/// A decoder and its cache.
struct Loaded<B: Backend> {
    decoder: Decoder<B>,
    cache: Cache<B>,
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

    fn block_tokens(&self) -> usize {
        self.cache.options().block_tokens
    }

    fn blocks(&self) -> usize {
        self.cache.options().blocks
    }

    fn forward(&mut self, batch: &Batch, logits: &mut Logits) -> Result<(), mistral_models::Error> {
        self.decoder.forward(batch, &mut self.cache, logits)
    }
}
