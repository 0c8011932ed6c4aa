//! Where memory goes.
//!
//! * **Weights** stay in the format of the checkpoint. Files are mapped: pages come in at first use, and several processes share them.
//!   By default ([`Repack::Background`](crate::quant::Repack)) most formats are then laid out anew for the kernels, in as many bytes
//!   within 4 %, and the pages of the file are given back 16 MiB after 16 MiB, so that the memory in use stays near the size of the file at any time
//!   (at most 846 MB for the whole process, with a file of 800 MB that generates while it is repacked);
//!   [`Repack::Never`](crate::quant::Repack) keeps to the mapped file, for several processes that share one, at the price of speed.
//!   With [`quantize`](crate::ModelBuilder::quantize) a matrix is made in its new format when it is loaded: beside the result there is
//!   one batch of rows, at most 8 million weights, and the pages of a mapped source are given back behind it.
//! * **KV cache**: `kv_tokens` slots. A slot takes, for each layer and kv head, one head of keys and one of values: `4 dim` bytes each in
//!   F32, `2 dim` in F16 and Bf16, `dim + 2 ceil(dim / 32)` in Q8_0 ([`head_bytes`](crate::quant::KvFormat::head_bytes)); keys and
//!   values may differ. An 8B model of 32 layers, 8 kv heads and width 128 takes 128 KiB a token in F16, 68 KiB in Q8_0. The
//!   cache is made once, at loading, and never grows. All sequences share it; one sequence may take at most `context_length` slots.
//! * **Workspace**: activations of `max_batch_tokens` tokens and one row of logits for each of `max_sequences`.
//! * **Streams**: pieces wait until they are read. The worker never waits for a reader; a stream holds at most its `max_tokens`.
//!
//! With [`memory_budget`](crate::ModelBuilder::memory_budget), the sum of the first three is held against it before anything is loaded.
//! A cache whose size was not set shrinks down to one full context; if that is too much,
//! [`OutOfMemoryBudget`](crate::Error::OutOfMemoryBudget) holds the size of each part and the settings that would fit.
