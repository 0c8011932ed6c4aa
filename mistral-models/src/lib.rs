//! Everything that is read from a checkpoint: weights, configuration, tokenizer, chat template and the decoder they describe.

mod batch;
mod error;
mod metadata;
mod template;

pub use batch::{Batch, LogitRows, Logits, Sequence};
pub use error::Error;
pub use metadata::{Array, Metadata, Strings, Value};
pub use template::{ChatTemplate, ChatTemplates, TemplateInput, TemplateLimits};
