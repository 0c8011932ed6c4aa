//! The sizes of a loaded model that do not change: one value, which every handle of the model copies.

use crate::context::ContextWarning;
use crate::forward::Forward;

/// What a request is checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Logits per token; token ids are below this.
    pub(crate) vocab_size: usize,
    /// Positions that one sequence may have, prompt and output together.
    pub(crate) context_length: usize,
    /// Positions that the checkpoint was made for.
    pub(crate) trained_context: usize,
}

impl Shape {
    /// Returns the shape of a model whose cache holds a sequence of at most `longest` positions.
    pub(crate) fn new(model: &dyn Forward, longest: usize) -> Self {
        Self {
            vocab_size: model.vocab_size(),
            context_length: model.context_length().min(longest),
            trained_context: model.trained_context(),
        }
    }

    /// Returns a warning if the context is longer than the checkpoint was made for.
    pub(crate) fn context_warning(self) -> Option<ContextWarning> {
        ContextWarning::of(self.context_length, self.trained_context)
    }
}
