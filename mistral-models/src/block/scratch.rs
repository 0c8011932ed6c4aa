//! Working memory of blocks: one list of buffers, from which both the memory budget and the allocation are made.

use mistral_quant::Backend;

use crate::error::Error;

macro_rules! scratch {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// Values per token of each buffer of [`Scratch`].
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub(crate) struct Widths {
            $($(#[doc = $doc])* pub(crate) $name: usize,)*
            /// Experts per token.
            pub(crate) top_k: usize,
            /// What the backend itself takes for a step.
            pub(crate) backend: usize,
        }

        impl Widths {
            /// Returns the larger width of each buffer.
            pub(crate) fn max(self, other: Self) -> Self {
                Self {
                    $($name: self.$name.max(other.$name),)*
                    top_k: self.top_k.max(other.top_k),
                    backend: self.backend.max(other.backend),
                }
            }

            /// Returns the values per token of all buffers together.
            pub(crate) fn per_token(self) -> u64 {
                // A route is a row, an expert and a weight.
                [$(self.$name,)* self.top_k.saturating_mul(3), self.backend]
                    .into_iter()
                    .fold(0, |sum: u64, width| sum.saturating_add(width as u64))
            }
        }

        /// Working memory of the blocks, for as many tokens as the largest step so far.
        pub(crate) struct Scratch<B: Backend> {
            $($(#[doc = $doc])* pub(crate) $name: B::Buffer,)*
            /// The choice of experts.
            pub(crate) routes: B::Routes,
        }

        impl<B: Backend> Scratch<B> {
            /// Allocates memory for `tokens` tokens.
            pub(crate) fn new(backend: &mut B, tokens: usize, widths: Widths) -> Result<Self, Error> {
                Ok(Self {
                    $($name: backend.buffer(tokens.saturating_mul(widths.$name))?,)*
                    routes: backend.routes(tokens, widths.top_k)?,
                })
            }
        }
    };
}

scratch! {
    /// `[tokens, heads * head_dim]`.
    queries,
    /// `[tokens, kv_heads * head_dim]`.
    keys,
    /// `[tokens, kv_heads * head_dim]`.
    values,
    /// `[tokens, heads * head_dim]`: what attention or a recurrence puts out.
    heads,
    /// `[tokens, intermediate_size]`, or for the chosen experts `[tokens * top_k, intermediate_size]`.
    gate,
    /// `[tokens * top_k, intermediate_size]`.
    up,
    /// `[tokens * top_k, hidden_size]`.
    routed,
    /// `[tokens, experts]`.
    router,
    /// `[tokens, heads * head_dim + 2 * groups * state_dim]`: before the convolution.
    mixed,
    /// The same after it.
    convolved,
    /// `[tokens, heads]`.
    time_steps,
}
