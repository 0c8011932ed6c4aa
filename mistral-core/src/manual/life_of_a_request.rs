//! From `model.generate("…")` to the last piece of text.
//!
//! 1. **On the caller's thread**: the prompt is rendered (chat) and tokenized, and the request is checked: room in the context, token
//!    ids, ranges of parameters, deadline. What is wrong is the error of that call. A place in the queue is taken, or
//!    [`QueueFull`](crate::Error::QueueFull) returned. The checked request goes to the worker thread; the caller has a
//!    [`Generation`](crate::Generation).
//! 2. **Between two steps** the worker takes new requests into its [`Engine`](crate::Engine) and ends cancelled ones. With nothing to do it sleeps.
//! 3. **A step** begins with the scheduler. Sequences are kept in order of arrival; the first ones run, the others wait. Each
//!    running sequence past its prompt gets one token of the batch. What remains of `max_batch_tokens` goes to prompts, in
//!    chunks, oldest first; waiting sequences are admitted while the blocks of their prompts are free.
//! 4. **Blocks.** The KV cache is a pool of blocks of a few tokens each. A sequence holds a table of block numbers. When a
//!    running sequence needs a block and none is free, the youngest running one gives its blocks up and waits. Its tokens,
//!    those generated included, are computed again when there is room: it takes longer and its text is the same.
//! 5. **One forward pass** runs the batch. Logits come back for the last token of each sequence whose known tokens are all computed.
//! 6. **Sampling**, a sequence at a time, with its own generator: bias, penalties, temperature, top_k, top_p, min_p, draw.
//! 7. **Text.** The token becomes bytes, the bytes become text once they are whole characters, the text is given out once it
//!    cannot be part of a stop string any more.
//! 8. **The end**: end of text, stop token, stop string, length, deadline, cancellation or an error. Blocks are freed
//!    at once, what was held back is given out, and exactly one event says why.
