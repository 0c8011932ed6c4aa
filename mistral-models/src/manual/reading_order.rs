//! The order in which the source of this crate is best read, and the words that it uses.
//!
//! 1. `spec.rs`: what a decoder is, as data. Everything below makes this data, or computes what it says.
//! 2. `arch/llama.rs`, then one more file of `arch/`: from a configuration to the data.
//! 3. `config/mod.rs`: how a value is read, under which name, and how every key is accounted for. `config/stored.rs` says what GGUF files
//!    and Hugging Face checkpoints do differently; no other file asks which of the two a checkpoint is.
//! 4. `names.rs` and `loading.rs`: how a tensor is found by its role, and how its rows are put in order.
//! 5. `decoder.rs`, then `layer.rs`: one step, from token ids to logits.
//! 6. `block/mod.rs`, `block/attention.rs`, `block/linear.rs`: what a layer computes. `block/scratch.rs` lists the working memory.
//! 7. `cache.rs` and `batch.rs`: what sequences leave behind, and what a step is asked to compute.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | family | an architecture by the name in a checkpoint, with one file in `arch/` |
//! | role | the part that a tensor plays, such as the query projection of a layer |
//! | layout | how a Hugging Face checkpoint stores a matrix: plain, transposed, parts interleaved |
//! | block | one computation of a layer: attention, a recurrent mixer, a feed-forward network, a mixture of experts |
//! | mixer | a block that looks at other positions |
//! | branch | a block as a summand of a residual |
//! | residual | `x + Σ branches(norm(x))`; a layer is a list of residuals |
//! | stream | the `[tokens, hidden_size]` values that residuals add to |
//! | run | consecutive tokens of one sequence inside a batch |
//! | group | layers whose attention reaches equally far back; they share block tables |
//! | slot | a place for the recurrent state of one sequence |
//! | step | one forward pass over a batch |
