//! How to add a family of models.
//!
//! A family is data: a file of `arch/` of 10 to 120 lines. The decoder, the loader and the cache do not change, as long as the family
//! consists of known blocks; [`add_a_block`](super::add_a_block) says what to do otherwise.
//!
//! # 1. Find out what the family computes
//!
//! Read the genuine implementation (`modeling_*.py` and `configuration_*.py` of transformers) and write down, for one layer: where the
//! norms stand and of which kind they are, what is added to the residual stream, which projections have biases, what happens to queries
//! and keys before attention, how positions enter, and every multiplier. Write down the default of every key of the configuration class,
//! because checkpoints leave out keys that have their default.
//!
//! # 2. Write the file
//!
//! ```text
//! pub(super) const ARCH: Arch = Arch {
//!     names: &[..],          // tensors that are not called as in Llama
//!     keys: &[..],           // keys of config.json with other names: (the name here, the name there)
//!     ignored_keys: &[..],   // keys that change nothing
//!     ..Arch::new(&["SmolLM3ForCausalLM", "smollm3"], &["smollm3"], |config| {
//!         let mut spec = llama(config, &Defaults { family: "smollm3", .. })?;
//!         // the difference from Llama
//!         Ok(spec)
//!     })
//! };
//! ```
//!
//! `Arch::new` takes the names in `architectures` and `model_type` of `config.json`, the names in `general.architecture` of GGUF files,
//! and a function from configuration to [`DecoderSpec`](crate::DecoderSpec). Most families call `llama` and change the result with
//! `each_attention`, `each_ffn`, `each_residual` and `replace_ffn`. A family with other layers reads `Sizes` and builds its layers itself;
//! `arch/gpt2.rs` is an example of learned positions and plain networks, `arch/gpt_neox.rs` of a parallel layer,
//! `arch/granite_hybrid.rs` of a hybrid.
//!
//! Rules:
//!
//! * Read every key that changes the arithmetic. A key that nobody reads is refused, with its name, so that no model computes something
//!   else than was trained. Keys that change nothing go into `ignored_keys`.
//! * Refuse a value that you do not follow: `config.unsupported(key, ..)`.
//! * Never ask which kind of file the checkpoint is. `config.by_file(hugging_face, gguf)` chooses a default by kind; what the GGUF files
//!   of the family store differently goes into `gguf_notes` (`config/stored.rs`).
//! * A name of `names` is the whole tensor name, with `{}` for the layer and `{e}` for the expert. A bias is found by the name of its
//!   weight. `.stored(Layout::Transposed)` and the other layouts say how a Hugging Face checkpoint stores a matrix.
//!
//! Then add the file to the list of modules and to `ARCHITECTURES` in `arch/mod.rs`.
//!
//! # 3. Prove it
//!
//! * Add a case to `tests/goldens/decoders.py` and run the script. The case has small sizes, drawn weights, and logits by the genuine
//!   implementation; `cargo test -p mistral-tests --test goldens` compares them on every instruction set of the machine. Give every
//!   multiplier and every epsilon an unusual value, so that a forgotten one shows.
//! * Where reference checkpoints are at hand (`MISTRAL_SHARED`), add the name to `CASES` in `tests/conformance.rs`. The tests there feed
//!   both spellings of the configuration and the GGUF file, whole and in pieces, and alter each key that matters.
//! * Add the family to the table of the README and to the changelog.
