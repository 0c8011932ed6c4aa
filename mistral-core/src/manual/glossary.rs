//! The words of these crates. Each means one thing everywhere.
//!
//! | word | meaning |
//! |---|---|
//! | **request** | a prompt and its settings, as a program submits them: [`Request`](crate::Request) |
//! | **sequence** | a request while it runs or waits in an engine: [`SequenceId`](crate::SequenceId) |
//! | **generation** | a sequence, as the program that reads its text sees it: [`Generation`](crate::Generation) |
//! | **run** | consecutive tokens of one sequence in a batch |
//! | **batch** | the tokens of all runs of one step: [`Batch`](crate::models::Batch) |
//! | **step** | one forward pass over a batch, and the sampling after it: [`Engine::step`](crate::Engine::step) |
//! | **prefill**, **decode** | a sequence prefills while it computes tokens that are known, and decodes while it generates new ones |
//! | **position** | the index of a token in its sequence, from 0 |
//! | **slot** | the place of one token in the cache |
//! | **block** | a fixed number of slots; the unit in which the cache is handed out |
//! | **block table** | the blocks of a sequence in the order of its positions |
//! | **preemption** | the youngest sequence gives up its blocks, and its tokens are computed again later |
//! | **context length** | the most positions of a sequence, prompt and output together |
//! | **logits** | one number per token of the vocabulary: `[rows, vocab_size]` |
//! | **sampling** | the choice of one token from a row of logits: [`Sampling`](crate::Sampling) |
//! | **constraint** | a rule for which tokens may come next: [`Constraint`](crate::constraint::Constraint); its **mask** is the rule in one sequence |
//! | **piece** | text that is certain, and the tokens generated since the piece before: [`TextPiece`](crate::TextPiece) |
//! | **checkpoint** | the files of a model: [`Checkpoint`](crate::models::Checkpoint) |
//! | **family** | models of one architecture, such as Llama or Qwen 3 |
//! | **decoder** | the layers of a checkpoint, loaded on a device: [`Decoder`](crate::models::Decoder) |
//! | **backend** | the operations that a decoder needs, on one kind of device: [`Backend`](crate::quant::Backend) |
//! | **device** | where a model computes, and with which options: [`Device`](crate::Device) |
//! | **format** | a way to store weights: [`Format`](crate::quant::Format); weights of a format come in its own, much smaller **weight blocks** |
//! | **kernel** | the inner loop of an operation for one instruction set |
//! | **tool** | a function that a model may call: [`ToolRegistry`](crate::tools::ToolRegistry) |
//! | **dialect** | the spelling of calls that a family was trained on: [`Dialect`](crate::tools::dialect::Dialect) |
//! | **exchange** | the turns and calls from a question to its answer: [`Exchange`](crate::agent::Exchange) |
//! | **turn** | one generation of an exchange, with the calls that the generation asks for |
