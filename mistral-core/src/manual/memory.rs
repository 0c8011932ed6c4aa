//! Where memory goes.
//!
//! * **Weights** stay in the format of the checkpoint. Files are mapped: pages come in at first use, and several processes share them. By
//!   default ([`Repack::Background`](crate::quant::Repack)) most formats are then rearranged for the kernels, in the same number of bytes
//!   within 4 %. Meanwhile the pages of the file are released 16 MiB at a time, so the memory in use stays near the size of the file. With
//!   a file of 800 MB that generates while it is repacked, the whole process uses at most 846 MB. [`Repack::Never`](crate::quant::Repack)
//!   keeps the mapped file, which several processes can share, at the price of speed. With [`quantize`](crate::ModelBuilder::quantize), a
//!   matrix is converted to its new format when it is loaded. The conversion needs room for one batch of rows, at most 8 million weights,
//!   and releases the pages of a mapped source as it proceeds.
//! * **KV cache**: `kv_tokens` slots. A slot holds, for each layer and kv head, one head of keys and one of values. A head takes `4 dim`
//!   bytes in F32, `2 dim` in F16 and Bf16, `dim + 2 ceil(dim / 32)` in Q8_0 ([`head_bytes`](crate::quant::KvFormat::head_bytes)); keys and
//!   values may use different formats. An 8B model with 32 layers, 8 kv heads and width 128 takes 128 KiB per token in F16, 68 KiB in Q8_0.
//!   The cache is made once, at loading, and never grows. All sequences share the cache; one sequence may take at most `context_length`
//!   slots.
//! * **Workspace**: activations of `max_batch_tokens` tokens and one row of logits per sequence, for `max_sequences` sequences.
//! * **Streams**: pieces wait until they are read. The worker never waits for a reader; a stream holds at most its `max_tokens`.
//!
//! With [`memory_budget`](crate::ModelBuilder::memory_budget), the sum of weights, cache and workspace is compared with the budget before
//! anything is loaded. A cache whose size was not set shrinks down to one full context. If that is still too much,
//! [`OutOfMemoryBudget`](crate::Error::OutOfMemoryBudget) holds the size of each part and the settings that would fit.
