//! The greatest length of a sequence: the length that the scaling of the rotary embedding reaches, or more if the user asks for more.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, which the lint does not see as tests

use std::io::Write;

use mistral_core::models::Checkpoint;
use mistral_core::{Error, FinishReason, Model, ModelSource, Request};

const HIDDEN: usize = 16;
const VOCAB: usize = 32;

/// A model of Llama's shape with one layer and 32 positions, as files of Hugging Face.
fn tiny(rope_scaling: &str) -> Checkpoint {
    let config = format!(
        r#"{{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": {VOCAB}, "hidden_size": {HIDDEN},
            "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
            "max_position_embeddings": 32, "rms_norm_eps": 1e-5, "rope_scaling": {rope_scaling}}}"#
    );
    let layer = |part: &str| format!("model.layers.0.{part}.weight");
    let tensors = [
        ("model.embed_tokens.weight".to_owned(), vec![VOCAB, HIDDEN]),
        ("lm_head.weight".to_owned(), vec![VOCAB, HIDDEN]),
        ("model.norm.weight".to_owned(), vec![HIDDEN]),
        (layer("input_layernorm"), vec![HIDDEN]),
        (layer("post_attention_layernorm"), vec![HIDDEN]),
        (layer("self_attn.q_proj"), vec![HIDDEN, HIDDEN]),
        (layer("self_attn.k_proj"), vec![HIDDEN / 2, HIDDEN]),
        (layer("self_attn.v_proj"), vec![HIDDEN / 2, HIDDEN]),
        (layer("self_attn.o_proj"), vec![HIDDEN, HIDDEN]),
        (layer("mlp.gate_proj"), vec![HIDDEN, HIDDEN]),
        (layer("mlp.up_proj"), vec![HIDDEN, HIDDEN]),
        (layer("mlp.down_proj"), vec![HIDDEN, HIDDEN]),
    ];
    let (mut rows, mut data) = (Vec::new(), Vec::new());
    for (name, shape) in tensors {
        let (start, count) = (data.len(), shape.iter().product::<usize>());
        let value = |i: usize| ((i * 37 + name.len() * 11) % 23) as f32 / 23.0 - 0.5;
        data.extend((0..count).flat_map(|i| value(i).to_le_bytes()));
        rows.push(format!(
            r#""{name}": {{"dtype": "F32", "shape": {shape:?}, "data_offsets": [{start}, {}]}}"#,
            data.len()
        ));
    }
    let header = format!("{{{}}}", rows.join(","));
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat();
    Checkpoint::options().from_safetensors(config.as_bytes(), bytes).unwrap()
}

fn prompt(tokens: usize) -> Vec<u32> {
    (0..tokens).map(|i| (i % VOCAB) as u32).collect()
}

fn runs(model: &Model, tokens: usize) -> Result<usize, Error> {
    let request = Request::new(prompt(tokens)).max_tokens(1).ignore_eos(true);
    Ok(model.generate(request)?.complete()?.tokens.len())
}

#[test]
fn prompts_run_up_to_where_the_scaling_reaches() {
    for scaling in [
        r#"{"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}"#,
        r#"{"type": "linear", "factor": 4.0}"#,
        r#"{"type": "dynamic", "factor": 4.0}"#,
    ] {
        let model = Model::builder().checkpoint(tiny(scaling)).load().unwrap();
        assert_eq!((model.context_length(), model.context_warning()), (128, None), "{scaling}");
        assert_eq!(runs(&model, 127).unwrap(), 1, "{scaling}");
        assert!(matches!(runs(&model, 128), Err(Error::PromptTooLong { tokens: 128, limit: 127, .. })), "{scaling}");
    }
}

#[test]
fn a_longer_context_is_the_user_s_decision_and_said_in_the_description() {
    let load = |tokens| Model::builder().checkpoint(tiny("null")).context_length(tokens).load();
    let within = load(32).unwrap();
    assert_eq!((within.context_length(), within.context_warning()), (32, None));
    assert_eq!(load(16).unwrap().context_length(), 16);
    assert_eq!(Model::builder().checkpoint(tiny("null")).load().unwrap().context_length(), 32, "without a word");

    let beyond = load(200).unwrap();
    let warning = beyond.context_warning().unwrap();
    assert_eq!((beyond.context_length(), warning.context_length, warning.trained), (200, 200, 32));
    assert!(warning.to_string().contains("200 tokens is beyond the 32"), "{warning}");
    assert_eq!(runs(&beyond, 199).unwrap(), 1);

    let scaled = tiny(r#"{"type": "yarn", "factor": 4.0}"#);
    let model = Model::builder().checkpoint(scaled).context_length(129).load().unwrap();
    assert_eq!(model.context_warning().unwrap().trained, 128);
    let error = load(usize::MAX).unwrap_err();
    assert!(matches!(error, Error::InvalidParameter { name: "context_length", .. }), "{error}");
}

#[test]
fn the_beginning_of_a_text_does_not_depend_on_the_limit() {
    let answer = |tokens| {
        let model = Model::builder().checkpoint(tiny("null")).context_length(tokens).load().unwrap();
        model.generate(Request::new(prompt(20)).max_tokens(8).ignore_eos(true).temperature(0.0)).unwrap().complete()
    };
    assert_eq!(answer(32).unwrap().tokens, answer(512).unwrap().tokens);
}

#[test]
fn shared_cases_run_as_far_as_their_scaling_reaches() {
    let Some(shared) = shared() else { return };
    for path in ["linear", "yarn", "yarn_ctx32.gguf"] {
        let source = || ModelSource::Path(shared.join("cases/scaled_context").join(path));
        let model = Model::builder().checkpoint(source()).load().unwrap();
        assert_eq!((model.context_length(), model.context_warning()), (128, None), "{path}");
        assert_eq!(runs(&model, 127).unwrap(), 1, "{path}");
        let model = Model::builder().checkpoint(source()).context_length(160).load().unwrap();
        assert_eq!(model.context_warning().unwrap().trained, 128, "{path}");
        assert_eq!(runs(&model, 159).unwrap(), 1, "{path}");
    }
}

/// The control token that a stop string spells ends a generation, shown or not.
#[test]
fn the_shared_case_of_a_control_token_stops() {
    let Some(shared) = shared() else { return };
    let source = ModelSource::Path(shared.join("cases/stop_control_token.gguf"));
    let model = Model::builder().checkpoint(source).load().unwrap();
    for special_text in [false, true] {
        let request = Request::new(vec![1, 270]).logit_bias(298, 1000.0).ignore_eos(true).max_tokens(8);
        let request = request.stop("<|im_end|>").special_text(special_text);
        let all = model.generate(request).unwrap().complete().unwrap();
        assert_eq!((all.text.as_str(), all.reason), ("", FinishReason::StopString(0)));
        assert_eq!(all.usage.generated_tokens, 1);
    }
}

/// The folder of the reference data. `None`, said aloud, where there is none; an error in CI.
fn shared() -> Option<std::path::PathBuf> {
    let shared = std::env::var_os("MISTRAL_SHARED").map(std::path::PathBuf::from);
    if shared.is_none() {
        assert!(std::env::var_os("CI").is_none_or(|v| v.is_empty()), "MISTRAL_SHARED is not set");
        let _ = writeln!(std::io::stderr(), "skipped: MISTRAL_SHARED is not set"); // Not captured by the test runner.
    }
    shared
}
