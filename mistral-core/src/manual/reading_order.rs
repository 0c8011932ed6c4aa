//! In which order to read the source code.
//!
//! One path leads from a call of the interface to one kernel. Each file on the path knows the next one, and not the one before.
//!
//! | file | question that it answers |
//! |---|---|
//! | `examples/chat.rs` | How is a program with a model written? |
//! | `mistral-core/src/model.rs`, `worker.rs` | How does a request come to the thread of the model, and its text back? |
//! | `mistral-core/src/prepared.rs` | Which checks does a request pass, and how does a prompt become tokens? |
//! | `mistral-core/src/engine.rs` | What happens in one step? |
//! | `mistral-core/src/scheduler.rs` | Which sequences run in a step, and who gives up cache blocks? |
//! | `mistral-core/src/sequence.rs`, `sample/mod.rs` | How do logits become a token, and tokens text? |
//! | `mistral-core/src/forward.rs`, `decoder.rs` | What does the engine need of a model? |
//! | `mistral-models/src/decoder.rs` | How does a description of layers become a forward pass? |
//! | `mistral-models/src/block/attention.rs` | What is one part of a layer? |
//! | `mistral-quant/src/backend.rs` | Which operations must a device have? |
//! | `mistral-quant/src/cpu/matmul.rs` | How is a product cut into tasks for threads and kernels? |
//! | `mistral-quant/src/cpu/kernels` | How does one instruction set compute it? |
//!
//! Away from the path:
//!
//! * **Checkpoints**: `mistral-models/src/loader/checkpoint.rs` opens files, `mistral-models/src/arch` says what a family computes.
//! * **Text**: `mistral-models/src/tokenizer/mod.rs` and `template.rs`; `mistral-core/src/text.rs` joins them.
//! * **Tools**: `mistral-tools/src/registry`, then `mistral-core/src/agent/exchange.rs` (the loop as a state machine) and `agent/run.rs`
//!   (the loop over a model and a registry).
//! * **Constraints**: `mistral-core/src/constraint/rule.rs` is the door, `constraint/call.rs` the constraint for calls of tools.
//!
//! The words are in the [glossary](super::glossary).
