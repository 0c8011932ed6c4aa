//! What is promised about numbers, and what is not.
//!
//! * **Same request, same text.** The logits of a token depend on the tokens before it, not on the other sequences of the batch, not on
//!   the chunks in which the prompt was computed, not on the number of threads. Sampling uses a generator of the request alone. So a
//!   request with a seed (or a greedy one) gives the same text alone or beside others, preempted or not.
//! * **Same instruction set.** Kernels of different instruction sets add in different orders. The last bits of logits, and so now and then a token, may
//!   differ between machines. Limit the set with [`isa_limit`](crate::ModelBuilder::isa_limit) to compare.
//! * **Sampling is exact arithmetic** on the logits: integer random numbers, and an exponential function of our own, equal on every platform.
//! * **Log probabilities** are the log softmax of the raw logits, before bias, penalties, temperature and filters. They are rounded to f32.
//! * **NaN and infinities** in logits end the sequence with [`NonFiniteLogits`](crate::Error::NonFiniteLogits); nothing is ever drawn from them.
