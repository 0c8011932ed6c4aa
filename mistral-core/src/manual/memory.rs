//! Where memory goes.
//!
//! * **Weights** stay in the format of the checkpoint. Files are mapped: pages come in at first use, and several processes share them.
//!   With [`quantize`](crate::ModelBuilder::quantize) a matrix is made in its new format when it is loaded: beside the result there is
//!   one batch of rows, at most 8 million weights, and the pages of a mapped source are given back behind it.
//! * **KV cache**: `kv_tokens` slots of `layers * kv_heads * (key_dim + value_dim)` elements, 2 bytes each in F16. It is made once, at
//!   loading, and never grows. All sequences share it; one sequence may take at most `context_length` slots.
//! * **Workspace**: activations of `max_batch_tokens` tokens and one row of logits for each of `max_sequences`.
//! * **Streams**: pieces wait until they are read. The worker never waits for a reader; a stream holds at most its `max_tokens`.
//!
//! With [`memory_budget`](crate::ModelBuilder::memory_budget), the sum of the first three is held against it before anything is loaded.
//! A cache whose size was not set shrinks down to one full context; if that is too much,
//! [`OutOfMemoryBudget`](crate::Error::OutOfMemoryBudget) gives the numbers.
