//! Opening checkpoints: GGUF and safetensors files, directories and the local Hugging Face cache.

mod cursor;
pub mod gguf;
mod limits;

pub use limits::Limits;
