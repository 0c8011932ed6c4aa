//! What is promised about numbers, and what is not.
//!
//! * **Same request, same text.** The logits of a token depend on the tokens before it, not on the other sequences of the batch, not on
//!   the chunks in which the prompt was computed, not on the number of threads. Sampling uses a generator of the request alone. So a
//!   request with a seed (or a greedy one) gives the same text alone or beside others, preempted or not.
//! * **Same instruction set.** Kernels of different instruction sets add in different orders. The last bits of logits, and so now and then a token, may
//!   differ between machines. Limit the set with [`isa_limit`](crate::quant::CpuOptions::isa_limit) to compare.
//! * **Keys and values are rounded once**, when they are cached, to the formats of [`key_format`](crate::ModelBuilder::key_format) and
//!   [`value_format`](crate::ModelBuilder::value_format). Attention widens them exactly and computes in f32: queries, scores and weights
//!   are never rounded to less, so F32 differs from F16 only by that one rounding (2^-11 relative; 2^-8 in Bf16; 1/254 of the largest
//!   of 32 neighbours in Q8_0). A score is a sum over the dimensions in order. Weighted values are added in the order of positions
//!   within 512, and the parts of 512 then in order.
//! * **Activations are rounded** to 8 bits with a scale for 32 of them where they meet quantized weights, as in other engines; they
//!   are not where they meet F32, F16 and BF16. With [`bf16_products`](crate::quant::CpuOptions::bf16_products) they are rounded to BF16
//!   (2^-8 relative) where they meet BF16.
//! * **Sampling is exact arithmetic** on the logits: integer random numbers, and an exponential function of our own, equal on every platform.
//! * **Log probabilities** are the log softmax of the raw logits, before bias, penalties, temperature and filters. They are rounded to f32.
//! * **NaN and infinities** in logits end the sequence with [`NonFiniteLogits`](crate::Error::NonFiniteLogits); nothing is ever drawn from them.
