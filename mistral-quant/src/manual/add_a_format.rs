//! How to add a format of weights.
//!
//! 1. **Its meaning**: a file of `formats/` with a diagram of the bytes of a block, and an implementation of `Block`: the number of weights
//!    of a block, `decode`, and `encode` if weights can be quantized to the format. The source of the layout is named.
//! 2. **Its name**: a row in `format.rs` with the type number of GGUF files, the bytes per block and whether encoding needs an importance
//!    matrix.
//! 3. **Its golden**: blocks and their weights by a genuine implementation (the `gguf` package), written by a script that is kept next to
//!    the golden; `cargo test -p mistral-quant --lib formats` compares them, and round trips every code.
//! 4. **Its arithmetic**: from here on every backend computes with the format, by decoding rows to f32. For speed, add how its codes are
//!    loaded and scaled to `cpu/kernels/integer` (`codes.rs` and `groups.rs`); the harness of `cpu/tests.rs` finds the format by itself
//!    and compares the fast kernel with the definition on every instruction set.
//! 5. **Where files use it**: the mixes of mistral-models (`quantize/mix.rs`), and the reading of packed checkpoints
//!    (`loader/packed`) if the format comes from safetensors.
