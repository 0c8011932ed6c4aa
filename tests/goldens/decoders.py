#!/usr/bin/env python3
"""Writes decoders.json: small decoders of every supported family with logits by the genuine Hugging Face implementation.

No weights are stored: each is drawn from a hash of its tensor's name and its index (`mistral_models::RandomWeights` draws the
same). Needs torch and transformers 5.23; run from this folder: `python3 decoders.py`.
"""

import json
import math
import os
import tempfile

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

TOKENS = 12
COMMON = dict(vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
              num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-3, rope_theta=5000.0)
LONG = dict(type="longrope", short_factor=[1.0, 1.5, 2.0, 3.0], long_factor=[2.0, 3.0, 5.0, 9.0])
ABSENT = object()
CASES = {
    "llama": dict(model_type="llama"),
    "llama bias": dict(model_type="llama", attention_bias=True, mlp_bias=True, head_dim=12),
    "llama tied llama3 rope": dict(model_type="llama", tie_word_embeddings=True, rope_scaling=dict(
        rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=3.0, original_max_position_embeddings=24)),
    "llama linear rope": dict(model_type="llama", rope_scaling=dict(type="linear", factor=3.0)),
    "llama dynamic rope": dict(model_type="llama", max_position_embeddings=8, rope_scaling=dict(type="dynamic", factor=2.0)),
    "llama yarn rope": dict(model_type="llama", rope_scaling=dict(
        type="yarn", factor=3.0, original_max_position_embeddings=20, beta_fast=6.0, beta_slow=1.5)),
    "llama yarn mscale": dict(model_type="llama", rope_scaling=dict(
        rope_type="yarn", factor=3.0, original_max_position_embeddings=20, mscale=0.7, mscale_all_dim=1.3, truncate=False)),
    "llama yarn nulls": dict(model_type="llama", num_key_value_heads=None, head_dim=None, max_position_embeddings=32, rope_scaling=dict(
        type="yarn", factor=None, original_max_position_embeddings=8, attention_factor=0.8, finetuned=True)),
    "mistral defaults": dict(model_type="mistral", hidden_size=64, num_attention_heads=8, num_key_value_heads=ABSENT, head_dim=6,
                             rms_norm_eps=4e-3, hidden_act="gelu", sliding_window=None),
    "qwen2 layer types": dict(model_type="qwen2", num_key_value_heads=None, num_hidden_layers=3, use_sliding_window=True, sliding_window=3,
                              layer_types=["sliding_attention", "full_attention", "sliding_attention"], attention_bias=True),
    "gemma2 defaults": dict(model_type="gemma2", num_attention_heads=ABSENT, num_key_value_heads=ABSENT, head_dim=4, sliding_window=2,
                            layer_types=["full_attention", "sliding_attention"], attention_bias=True, final_logit_softcapping=None,
                            sliding_window_size=2),
    "phi3 su": dict(model_type="phi3", num_key_value_heads=None, pad_token_id=0, full_attn_mod=1, interpolate_factor=1, sliding_window=None,
                    rope_scaling=dict(type="su", rope_type="longrope", factor=4.0, original_max_position_embeddings=7,
                                      short_factor=[1.0, 1.5, 2.0, 3.0], long_factor=[2.0, 3.0, 5.0, 9.0])),
    "mistral": dict(model_type="mistral", sliding_window=5),
    "qwen2": dict(model_type="qwen2"),
    "qwen2 window": dict(model_type="qwen2", num_hidden_layers=3, use_sliding_window=True, sliding_window=4, max_window_layers=1),
    "qwen3": dict(model_type="qwen3", head_dim=16, tie_word_embeddings=True),
    "gemma2": dict(model_type="gemma2", head_dim=12, sliding_window=5, query_pre_attn_scalar=10, attn_logit_softcapping=2.0,
                   final_logit_softcapping=12.0),
    "phi3": dict(model_type="phi3", sliding_window=6, pad_token_id=0),
    "phi3 longrope": dict(model_type="phi3", original_max_position_embeddings=8, rope_scaling=LONG, pad_token_id=0),
    "phi3 partial": dict(model_type="phi3", hidden_size=64, intermediate_size=48, original_max_position_embeddings=32,
                         partial_rotary_factor=0.5, rope_scaling=LONG, pad_token_id=0),
}
# Families with names or sizes of their own: nothing of COMMON, drawn under the names that `save_pretrained` writes.
OWN = {
    "gpt2": dict(model_type="gpt2", vocab_size=40, n_embd=32, n_head=4, n_layer=2, n_positions=32, layer_norm_epsilon=1e-3),
    "gpt2 scales": dict(model_type="gpt2", vocab_size=40, n_embd=32, n_head=4, n_layer=2, n_positions=32, n_inner=40,
                        layer_norm_epsilon=1e-3, scale_attn_by_inverse_layer_idx=True, activation_function="relu"),
    "gpt_neox": dict(model_type="gpt_neox", vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                     num_attention_heads=4, max_position_embeddings=64, layer_norm_eps=1e-3, rotary_pct=0.5, rotary_emb_base=5000),
    "gpt_neox sequential": dict(model_type="gpt_neox", vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                                num_attention_heads=4, max_position_embeddings=64, layer_norm_eps=1e-3, rotary_pct=1.0,
                                use_parallel_residual=False, attention_bias=False),
    "qwen3_moe": dict(model_type="qwen3_moe", vocab_size=40, hidden_size=32, intermediate_size=48, moe_intermediate_size=16,
                      num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=12, num_experts=4,
                      num_experts_per_tok=2, norm_topk_prob=True, mlp_only_layers=[1], max_position_embeddings=64,
                      rms_norm_eps=1e-3, rope_theta=5000.0, tie_word_embeddings=False),
    "gpt_oss": dict(model_type="gpt_oss", vocab_size=40, hidden_size=32, intermediate_size=24, num_hidden_layers=2,
                    num_attention_heads=4, num_key_value_heads=2, head_dim=8, num_local_experts=4, num_experts_per_tok=2,
                    sliding_window=4, max_position_embeddings=64, rms_norm_eps=1e-3, swiglu_limit=1.5,
                    rope_parameters=dict(rope_type="yarn", rope_theta=5000.0, factor=4.0, beta_fast=8.0, beta_slow=1.0,
                                         truncate=False, original_max_position_embeddings=16)),
    "granitemoehybrid": dict(model_type="granitemoehybrid", vocab_size=40, hidden_size=32, intermediate_size=16,
                             shared_intermediate_size=24, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
                             num_local_experts=4, num_experts_per_tok=2, layer_types=["mamba", "attention", "mamba"],
                             mamba_n_heads=8, mamba_d_head=8, mamba_d_state=8, mamba_n_groups=2, mamba_expand=2, mamba_chunk_size=4,
                             position_embedding_type="nope", embedding_multiplier=2.0, residual_multiplier=0.5,
                             attention_multiplier=0.3, logits_scaling=1.5, max_position_embeddings=64, rms_norm_eps=1e-3,
                             pad_token_id=0, tie_word_embeddings=True),
    "granitemoehybrid dense": dict(model_type="granitemoehybrid", vocab_size=40, hidden_size=32, intermediate_size=16,
                                   shared_intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                                   num_local_experts=0, layer_types=["attention", "mamba"], mamba_n_heads=4, mamba_d_head=16,
                                   mamba_d_state=8, mamba_n_groups=1, position_embedding_type="rope", rope_theta=5000.0,
                                   attention_multiplier=0.3, max_position_embeddings=64, rms_norm_eps=1e-3, pad_token_id=0,
                                   tie_word_embeddings=False),
    "llama4_text": dict(model_type="llama4_text", vocab_size=40, hidden_size=32, intermediate_size=16, intermediate_size_mlp=48,
                        num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, head_dim=8, num_local_experts=4,
                        num_experts_per_tok=1, interleave_moe_layer_step=2, attention_chunk_size=4, floor_scale=3, attn_scale=0.2,
                        no_rope_layer_interval=4, max_position_embeddings=64, rms_norm_eps=1e-3, rope_theta=5000.0, pad_token_id=0,
                        tie_word_embeddings=False),
}


def drawn(name, count):
    """`count` values in [-1, 1): splitmix64 of the FNV-1a hash of the name plus the index."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001B3) & (2**64 - 1)
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + (np.arange(1, count + 1, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1.0)


def scale(name, shape, family):
    """(offset, scale) of a tensor: norms near their neutral value, matrices with unit gain."""
    if "norm" in name:
        return (0.0 if family == "gemma2" else 1.0), 0.25
    if len(shape) == 1:
        return 0.0, 0.25
    return 0.0, 1.0 if "embed" in name else math.sqrt(3.0 / shape[1])


def own_scale(name, shape):
    """(offset, scale) of a tensor by the names of checkpoints: norms near 1, decays and time steps in their usual range."""
    if name.endswith("A_log"):
        return 0.5, 0.5
    if name.endswith("dt_bias"):
        return -1.0, 0.5
    if name.endswith(".D") or ("norm" in name or ".ln_" in name) and name.endswith("weight"):
        return 1.0, 0.25
    if len(shape) == 1 or name.endswith("bias") or name.endswith("sinks"):
        return 0.0, 0.25
    if any(part in name for part in ("embed", "wte", "wpe")):
        return 0.0, 1.0
    # Of transposed and stacked matrices the inputs are not the last dimension; all here have about as many.
    return 0.0, math.sqrt(3.0 / shape[-1])


def own(case, config):
    """The case of a family with its own names, through the files that `save_pretrained` writes."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**json.loads(json.dumps(config))), attn_implementation="eager")
    tensors = []
    with tempfile.TemporaryDirectory() as folder:
        model.float().save_pretrained(folder)
        file = os.path.join(folder, "model.safetensors")
        weights = load_file(file)
        for name, old in weights.items():
            shape = list(old.shape)
            offset, by = (np.float32(v) for v in own_scale(name, shape))
            weights[name] = torch.from_numpy((drawn(name, old.numel()) * by + offset).reshape(shape))
            tensors.append(dict(name=name, shape=shape, offset=float(offset), scale=float(by)))
        save_file(weights, file, metadata=dict(format="pt"))
        model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as written:
            architectures = json.load(written)["architectures"]
    ids = [(7 * i * i + 3 * i + 1) % config["vocab_size"] for i in range(TOKENS)]
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    print(f"{case}: max {logits.abs().max():.3f}")
    config = dict(architectures=architectures, **config)
    return dict(case=case, config=config, tensors=tensors, ids=ids, logits=[float(f"{v:.7g}") for v in logits.flatten().tolist()])


def main():
    out = [own(case, config) for case, config in OWN.items()]
    for case, given in CASES.items():
        config = {key: value for key, value in {**COMMON, **given}.items() if value is not ABSENT}
        if case == "gemma2":
            config["hidden_activation"] = "gelu_pytorch_tanh"
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**json.loads(json.dumps(config))), attn_implementation="eager")
        model = model.float().eval()
        tensors = []
        tied = model.config.tie_word_embeddings
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if tied and name == "lm_head.weight":
                    continue
                shape = list(parameter.shape)
                offset, by = (np.float32(v) for v in scale(name, shape, config["model_type"]))
                values = drawn(name, parameter.numel()) * by + offset
                parameter.copy_(torch.from_numpy(values.reshape(shape)))
                tensors.append(dict(name=name, shape=shape, offset=float(offset), scale=float(by)))
            ids = [(7 * i * i + 3 * i + 1) % config["vocab_size"] for i in range(TOKENS)]
            logits = model(torch.tensor([ids])).logits[0]
        out.append(dict(case=case, config=config, tensors=tensors, ids=ids,
                        logits=[float(f"{v:.7g}") for v in logits.flatten().tolist()]))
        print(f"{case}: max {logits.abs().max():.3f}")
    with open("decoders.json", "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in out) + "\n]\n")


if __name__ == "__main__":
    main()
