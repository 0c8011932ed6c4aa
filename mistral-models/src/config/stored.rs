//! What the two kinds of files leave to the reader: the one place that tells them apart.

use mistral_quant::backend::{RopeStyle, Visible};

use super::Config;
use crate::error::Error;
use crate::names::{At, Part, Role};
use crate::spec::{DecoderSpec, Head, NormSpec};

/// What a family's GGUF files do differently from its Hugging Face checkpoints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GgufNotes {
    /// Norm weights that are stored around zero elsewhere have the 1 added.
    pub(crate) norms_hold_the_one: bool,
    /// The order of rotated pairs: llama.cpp's converter reorders the rows of queries and keys of some families.
    pub(crate) rope: RopeStyle,
    /// A window that the file names holds for all layers, although the family's `config.json` has no such key.
    pub(crate) window: bool,
}

impl GgufNotes {
    /// Nothing differs.
    pub(crate) const NONE: Self = Self { norms_hold_the_one: false, rope: RopeStyle::Halves, window: false };
}

impl Config<'_> {
    /// Returns the value for the kind of file at hand.
    pub(crate) fn by_file<T>(&self, hugging_face: T, gguf: T) -> T {
        if self.is_gguf() { gguf } else { hugging_face }
    }

    /// Returns what a silent `config.json` means; a GGUF file that is silent means `None`.
    pub(crate) fn silent<T>(&self, default: Option<T>) -> Option<T> {
        default.filter(|_| !self.is_gguf())
    }

    /// Whether the checkpoint has the tensor of a role.
    pub(crate) fn has_tensor(&self, role: Role, part: Part, at: At) -> bool {
        self.names().find(self.weights, role, part, at).is_some_and(|name| self.weights.contains(&name))
    }

    /// Reads whether the projections of a role have biases: a GGUF file says it by its tensors of the first layer that has any.
    pub(crate) fn bias(&self, key: &str, role: Role, layer: usize) -> Result<bool, Error> {
        match self.is_gguf() {
            true => Ok(self.has_tensor(role, Part::Bias, At::layer(layer))),
            false => Ok(self.flag(key)?.unwrap_or(false)),
        }
    }

    /// Reads a window of positions; GGUF files write 0 for none.
    pub(crate) fn window(&self, default: Option<usize>) -> Result<Option<usize>, Error> {
        let window = self.size_or_null("sliding_window", self.silent(default))?;
        let window = window.filter(|window| !self.is_gguf() || *window > 0);
        window.map(|window| self.above_zero("sliding_window", window)).transpose()
    }

    /// Reads the size of the vocabulary; GGUF files may leave it to the embedding table.
    pub(crate) fn vocab_size(&self, default: usize) -> Result<usize, Error> {
        if !self.is_gguf() {
            return self.size_or("vocab_size", default);
        }
        self.size("vocab_size")?;
        let shape = self.weights.get("token_embd.weight")?.shape;
        shape.first().copied().ok_or_else(|| Error::malformed("tensor `token_embd.weight`", "has no dimensions"))
    }

    /// Reads whether the head is the embedding table. GGUF files say it by leaving the head out; of a `config.json` that ties
    /// them although both are stored, with other values, the weights are right, as for transformers 5.
    pub(crate) fn head(&self, tied: bool) -> Result<Head, Error> {
        let said = self.flag("tie_word_embeddings")?.unwrap_or(tied);
        let tied = match self.is_gguf() {
            true => !self.has_tensor(Role::Head, Part::Weight, At::default()),
            false => said && !self.has_own_head(),
        };
        let bias = self.has_tensor(Role::Head, Part::Bias, At::default());
        Ok(if tied { Head::Tied } else { Head::Own { bias } })
    }

    /// Whether a head lies next to the embedding with other values.
    fn has_own_head(&self) -> bool {
        let tensor = |role| {
            let name = self.names().find(self.weights, role, Part::Weight, At::default())?;
            self.weights.get(&name).ok()
        };
        let (Some(head), Some(embedding)) = (tensor(Role::Head), tensor(Role::Embedding)) else { return false };
        (head.kind, head.shape) != (embedding.kind, embedding.shape) || head.bytes.as_ref() != embedding.bytes.as_ref()
    }

    /// Applies what the family's GGUF files do differently, once, after the family has said its arithmetic.
    pub(crate) fn apply_notes(&self, spec: &mut DecoderSpec) -> Result<(), Error> {
        let Some(notes) = self.arch.filter(|_| self.is_gguf()).map(|arch| arch.gguf_notes) else { return Ok(()) };
        if notes.norms_hold_the_one {
            let hold = |norm: &mut NormSpec| norm.offset = 0.0;
            spec.final_norm.iter_mut().for_each(hold);
            spec.each_residual(|residual| {
                let own = residual.branches.iter_mut().filter_map(|branch| branch.norm.as_mut());
                let norms = [&mut residual.norm, &mut residual.output_norm, &mut residual.after];
                norms.into_iter().flatten().chain(own).for_each(hold);
            });
        }
        let window = if notes.window { self.window(None)? } else { None };
        spec.each_attention(|_, attention| {
            if let Some(rope) = attention.rope.as_mut().filter(|_| notes.rope != RopeStyle::Halves) {
                rope.style = notes.rope;
            }
            if let Some(qk) = attention.qk_norm.as_mut().filter(|_| notes.norms_hold_the_one) {
                qk.norm.offset = 0.0;
            }
            if let Some(window) = window {
                attention.visible = Visible::Window(window);
            }
        });
        Ok(())
    }
}
