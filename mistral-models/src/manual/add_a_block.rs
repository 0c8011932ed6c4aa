//! How to add a kind of block, such as another recurrent mixer.
//!
//! 1. **Say what it is.** Add a struct of its numbers to `spec.rs` and a variant to `BlockSpec`, with the source (paper and section).
//! 2. **Say what it needs.** `block/mod.rs` is the only place that matches on the kind. The compiler now asks there for:
//!    the widths of its working memory (`widths`, by the buffers that `block/scratch.rs` lists), what it keeps of earlier positions
//!    (`cache_kind`: keys and values, recurrent state, or nothing), loading, and computing.
//! 3. **Load it** in a file of `block/`. Take matrices with `Loading::linear`, fused ones with `Loading::group`, stacks of experts with
//!    `Loading::experts`, vectors with `Loading::vector`, by role; new roles go into `names.rs`.
//! 4. **Compute it** with the operations of [`Backend`](mistral_quant::Backend). Every product goes through `block/linear.rs`, which is
//!    where inputs are observed. Host data of a step is in `Step`: no block reads back what an operation computed, so that the
//!    operations of a step can be recorded and replayed on a GPU. A missing operation is added to mistral-quant first
//!    ([`add_an_operation`](mistral_quant::manual::add_an_operation)).
//! 5. **State.** A recurrent block keeps its state in slots. A run at position 0 starts from zeros. Chunked and whole prompts must be equal
//!    to the bit on [`Cpu`](mistral_quant::Cpu): scan token by token, or cut at absolute positions.
//! 6. **Prove it** through a family that has the block; see [`add_a_family`](super::add_a_family).
