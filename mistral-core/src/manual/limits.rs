//! What this version does not do.
//!
//! * Prompts that begin alike are computed once each; blocks are not shared between sequences.
//! * Scheduling is first come, first served. There are no priorities.
//! * Preemption throws computed blocks away; they are not swapped to other memory.
//! * The constraint that comes with this crate is for calls of tools only. [`CallConstraint`](crate::constraint::CallConstraint) lists the
//!   schema keywords that it enforces. A program may bring [constraints of its own](crate::constraint::Constraint).
//! * A rendered chat template is tokenized with control tokens, as everywhere in the field: a user's message that spells `<|im_end|>`
//!   is read as that token. Filter what strangers write if that matters. Plain text prompts are safe from it.
//! * Sampling runs on the worker thread, sequence by sequence.
//! * A forward pass is not interrupted: cancellation and deadlines are noticed between steps. A step with a long chunk of a prompt
//!   takes as long as [`max_batch_tokens`](crate::ModelBuilder::max_batch_tokens) allows.
//! * In programs compiled with `panic = "abort"`, a panic of the worker thread ends the process, as any panic does there.
