//! From a checkpoint to something the engine can run.

use mistral_models::Checkpoint;

use crate::Error;
use crate::builder::Options;
use crate::forward::Forward;
use crate::memory::{MemoryPlan, Needs};

/// What the model of a checkpoint will take, without loading it.
pub(crate) fn measure(checkpoint: &Checkpoint, _options: &Options) -> Result<Needs, Error> {
    Err(not_yet(checkpoint))
}

/// Loads the model of a checkpoint with a cache of the planned size.
pub(crate) fn load(checkpoint: &Checkpoint, _plan: &MemoryPlan, _options: &Options) -> Result<Box<dyn Forward>, Error> {
    Err(not_yet(checkpoint))
}

/// The checkpoint inside this crate.
pub(crate) fn embedded() -> Result<Checkpoint, Error> {
    Ok(Checkpoint::from_bytes([0u8; 0])?)
}

fn not_yet(checkpoint: &Checkpoint) -> Error {
    let detail = format!("{}: no decoder in this build", checkpoint.path().display());
    mistral_models::Error::Unsupported { what: "architecture", detail }.into()
}
