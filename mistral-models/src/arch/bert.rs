//! BERT: an encoder with learned positions and token types, and a norm after each residual sum.
//!
//! Sources: Devlin et al., 2018, arXiv:1810.04805; transformers 5.23 `models/bert`; llama.cpp `src/models/bert.cpp`.

use mistral_quant::backend::Visible;

use super::activation;
use super::llama::{Defaults, Sizes};
use crate::config::Arch;
use crate::names::{Name, Role};
use crate::spec::{BlockSpec, FfnSpec, Head, LayerSpec, LearnedPositions, NormSpec, Residual};

pub(super) const ARCH: Arch = Arch {
    names: &[
        Name::new(Role::Embedding, "embeddings.word_embeddings.weight", "token_embd.weight"),
        Name::new(Role::Positions, "embeddings.position_embeddings.weight", "position_embd.weight"),
        Name::new(Role::TokenTypes, "embeddings.token_type_embeddings.weight", "token_types.weight"),
        Name::new(Role::EmbeddingNorm, "embeddings.LayerNorm.weight", "token_embd_norm.weight"),
        Name::new(Role::Query, "encoder.layer.{}.attention.self.query.weight", "blk.{}.attn_q.weight"),
        Name::new(Role::Key, "encoder.layer.{}.attention.self.key.weight", "blk.{}.attn_k.weight"),
        Name::new(Role::Value, "encoder.layer.{}.attention.self.value.weight", "blk.{}.attn_v.weight"),
        Name::new(Role::Output, "encoder.layer.{}.attention.output.dense.weight", "blk.{}.attn_output.weight"),
        Name::new(
            Role::MixerAfterNorm,
            "encoder.layer.{}.attention.output.LayerNorm.weight",
            "blk.{}.attn_output_norm.weight",
        ),
        Name::new(Role::Up, "encoder.layer.{}.intermediate.dense.weight", "blk.{}.ffn_up.weight"),
        Name::new(Role::Down, "encoder.layer.{}.output.dense.weight", "blk.{}.ffn_down.weight"),
        Name::new(Role::FfnAfterNorm, "encoder.layer.{}.output.LayerNorm.weight", "blk.{}.layer_output_norm.weight"),
        Name::new(Role::Pooler, "pooler.dense.weight", ""),
    ],
    prefixes: &["", "bert."],
    // Row numbers that older exports store, and the heads of pretraining.
    ignored: &["*embeddings.position_ids", "cls.predictions.*", "cls.seq_relationship.*"],
    ignored_keys: &[
        "classifier_dropout",
        "attention_probs_dropout_prob",
        "hidden_dropout_prob",
        "gradient_checkpointing",
    ],
    ..Arch::new(&["BertModel", "bert"], &["bert"], |config| {
        let defaults = Defaults {
            family: "bert",
            vocab_size: 30_522,
            hidden_size: 768,
            layers: 12,
            heads: 12,
            context_length: 512,
            tied_head: true,
            ..Defaults::default()
        };
        let sizes = Sizes::read(config, &defaults, 10)?;
        if config.flag("is_causal")? == Some(true) {
            return Err(config.unsupported("is_causal", "an encoder sees the whole text"));
        }
        // How an application pools the rows; the rows themselves do not depend on it.
        config.size("pooling_type")?;
        if let Some(other) = config.text("position_embedding_type")?.filter(|kind| *kind != "absolute") {
            return Err(config.unsupported("position_embedding_type", other));
        }
        let norm = NormSpec::layer(config.number_or("layer_norm_eps", 1e-12)? as f32);
        let activation = activation(config.text("hidden_act")?.unwrap_or("gelu"))?;
        let intermediate_size = config.size_or("intermediate_size", 3072)?;
        let mut layers = Vec::with_capacity(sizes.layers);
        for layer in 0..sizes.layers {
            let mut attention = sizes.attention(config, layer, None)?;
            (attention.qkv_bias, attention.out_bias, attention.visible) = (true, true, Visible::All);
            let ffn = FfnSpec { intermediate_size, activation, gated: false, bias: true, shared: false };
            let blocks = [BlockSpec::Attention(attention), BlockSpec::Ffn(ffn)];
            let residuals = blocks.map(|block| Residual { after: Some(norm), ..Residual::new(None, block) });
            layers.push(LayerSpec { residuals: residuals.into() });
        }
        let mut spec = sizes.decoder(config, &defaults, norm, layers)?;
        spec.positions = Some(LearnedPositions { rows: sizes.max_positions, offset: 0 });
        spec.token_types = config.size_or("type_vocab_size", 2)?;
        (spec.embedding_norm, spec.final_norm) = (Some(norm), None);
        spec.head =
            Head::None { pooler: config.has_tensor(Role::Pooler, crate::names::Part::Weight, Default::default()) };
        Ok(spec)
    })
};
