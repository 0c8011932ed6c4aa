"""An independent reference: the GGUF file, dequantized to f32, in transformers' LlamaForCausalLM."""

import numpy as np
import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from transformers import LlamaConfig, LlamaForCausalLM

from export import LAYER_NAMES, deinterleave

HF_NAMES = {
    "attn_norm": "input_layernorm", "q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj",
    "o": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm", "gate": "mlp.gate_proj", "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}


def field(reader, name):
    return reader.get_field(name).contents()


def read_gguf(path):
    """(metadata reader, {GGUF tensor name: f32 array})."""
    reader = GGUFReader(path)
    return reader, {t.name: np.array(dequantize(t.data, t.tensor_type), dtype=np.float32) for t in reader.tensors}


def load_reference(path):
    reader, tensors = read_gguf(path)
    layers, heads = field(reader, "llama.block_count"), field(reader, "llama.attention.head_count")
    kv_heads = field(reader, "llama.attention.head_count_kv")
    config = LlamaConfig(
        vocab_size=field(reader, "llama.vocab_size"), hidden_size=field(reader, "llama.embedding_length"),
        intermediate_size=field(reader, "llama.feed_forward_length"), num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=kv_heads, head_dim=field(reader, "llama.rope.dimension_count"),
        max_position_embeddings=field(reader, "llama.context_length"),
        rms_norm_eps=field(reader, "llama.attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": field(reader, "llama.rope.freq_base")},
        tie_word_embeddings=True, bos_token_id=None, eos_token_id=[0, 2], pad_token_id=0)
    state = {"model.embed_tokens.weight": tensors["token_embd.weight"],
             "model.norm.weight": tensors["output_norm.weight"],
             "lm_head.weight": tensors["token_embd.weight"]}
    for layer in range(layers):
        for ours, theirs in LAYER_NAMES.items():
            value = tensors[f"blk.{layer}.{theirs}.weight"]
            if ours in ("q", "k"):
                value = deinterleave(value, heads if ours == "q" else kv_heads)
            state[f"model.layers.{layer}.{HF_NAMES[ours]}.weight"] = value
    model = LlamaForCausalLM(config).float().eval()
    missing, unexpected = model.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()}, strict=False)
    assert not unexpected and not [m for m in missing if "rotary" not in m], (missing, unexpected)
    return model


@torch.no_grad()
def greedy(model, ids, count, stop=(0, 2)):
    """Greedy continuation and, for each step, the gap between the best and the second-best logit."""
    out, margins, past, step = [], [], None, torch.tensor([ids])
    for _ in range(count):
        result = model(input_ids=step, past_key_values=past, use_cache=True)
        past = result.past_key_values
        best = torch.topk(result.logits[0, -1], 2)
        margins.append((best.values[0] - best.values[1]).item())
        out.append(best.indices[0].item())
        if out[-1] in stop:
            break
        step = torch.tensor([[out[-1]]])
    return out, margins


@torch.no_grad()
def generate(model, prompts, count=190, temperature=0.0, seed=0):
    """Continuations of many prompts at once (left-padded), cut after the first end token."""
    torch.manual_seed(seed)
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    options = {"do_sample": False}
    if temperature:
        options = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 0.95}
    result = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=count, pad_token_id=0,
                            eos_token_id=[0, 2], **options)
    outs = []
    for row in result[:, width:].tolist():
        stop = next((i for i, t in enumerate(row) if t in (0, 2)), None)
        outs.append((row if stop is None else row[:stop], stop is not None))
    return outs
