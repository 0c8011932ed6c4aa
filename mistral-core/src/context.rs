//! A warning about a context that is longer than the checkpoint was made for.

use std::fmt;

/// A warning that sequences may become longer than those that the checkpoint was made for.
///
/// [`Model::context_warning`](crate::Model::context_warning) returns this warning if
/// [`context_length`](crate::ModelBuilder::context_length) asks for more positions than the checkpoint names. Sequences up to the
/// checkpoint's number are not affected, except by a rotary embedding whose scaling depends on the length.
///
/// ```
/// use mistral_core::Model;
/// let model = Model::builder().embedded().context_length(4096).max_sequences(1).load()?;
/// let warning = model.context_warning().ok_or("the embedded model was made for 512 positions")?;
/// assert_eq!((warning.context_length, warning.trained), (4096, 512));
/// println!("{warning}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContextWarning {
    /// Positions that one sequence may have.
    pub context_length: usize,
    /// Positions that the checkpoint was made for.
    pub trained: usize,
}

impl ContextWarning {
    /// Returns the warning if the context is longer than the checkpoint was made for.
    pub(crate) fn of(context_length: usize, trained: usize) -> Option<Self> {
        (context_length > trained).then_some(Self { context_length, trained })
    }
}

impl fmt::Display for ContextWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { context_length, trained } = self;
        write!(
            f,
            "the context of {context_length} tokens is beyond the {trained} that the checkpoint was trained for: \
             what the model writes after them may be worse"
        )
    }
}
