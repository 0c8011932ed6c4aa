"""Writes the trained model as a GGUF file: matrices in Q8_0, norm weights in F32.

    python export.py build

GGUF files of architecture `llama` hold the query and key rows in the interleaved rotary order (the
two halves of each pair are neighbours). Training uses the split-half order, so `interleave` permutes
the rows here and `deinterleave` undoes it on loading.
"""

import json
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer

from model import Config, Model
from tokenizer_build import CONTROL, USER_DEFINED

TEMPLATE = Path(__file__).parent / "chat_template.jinja"
NAME = "mistral-core default model"
LAYER_NAMES = {
    "attn_norm": "attn_norm", "q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output",
    "ffn_norm": "ffn_norm", "gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down",
}


def interleave(matrix, heads):
    rows, columns = matrix.shape
    return matrix.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def deinterleave(matrix, heads):
    rows, columns = matrix.shape
    return matrix.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def gguf_tensors(model):
    """Yields (GGUF name, float array) in file order."""
    cfg = model.cfg
    state = {name: value.float().numpy() for name, value in model.state_dict().items()}
    yield "token_embd.weight", state["embed.weight"]
    for layer in range(cfg.layers):
        for ours, theirs in LAYER_NAMES.items():
            value = state[f"blocks.{layer}.{ours}.weight"]
            if ours in ("q", "k"):
                value = interleave(value, cfg.heads if ours == "q" else cfg.kv_heads)
            yield f"blk.{layer}.{theirs}.weight", value
    yield "output_norm.weight", state["norm.weight"]


def token_lists(tokenizer, size):
    kinds = {**dict.fromkeys(CONTROL, gguf.TokenType.CONTROL),
             **dict.fromkeys(USER_DEFINED, gguf.TokenType.USER_DEFINED)}
    tokens = [tokenizer.id_to_token(i) for i in range(size)]
    return tokens, [kinds.get(token, gguf.TokenType.NORMAL) for token in tokens]


def tokenizer_merges(tokenizer):
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [m if isinstance(m, str) else " ".join(m) for m in merges]


def load_checkpoint(folder):
    checkpoint = torch.load(folder / "model.pt")
    model = Model(Config(**checkpoint["config"]))
    model.load_state_dict(checkpoint["state"])
    return model.eval(), Tokenizer.from_file(str(folder / "tokenizer.json"))


def write_gguf(folder):
    model, tokenizer = load_checkpoint(folder)
    cfg = model.cfg
    path = folder / "model.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(NAME)
    writer.add_description("A tiny model that tells short stories, chats a little and calls a calculator tool.")
    writer.add_license("MIT OR Apache-2.0")
    writer.add_size_label(f"{model.count() / 1e6:.1f}M")
    writer.add_languages(["en"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(cfg.vocab)
    writer.add_context_length(cfg.context)
    writer.add_embedding_length(cfg.dim)
    writer.add_block_count(cfg.layers)
    writer.add_feed_forward_length(cfg.ffn)
    writer.add_head_count(cfg.heads)
    writer.add_head_count_kv(cfg.kv_heads)
    writer.add_key_length(cfg.head_dim)
    writer.add_value_length(cfg.head_dim)
    writer.add_layer_norm_rms_eps(cfg.eps)
    writer.add_rope_freq_base(cfg.rope_theta)
    writer.add_rope_dimension_count(cfg.head_dim)

    tokens, kinds = token_lists(tokenizer, cfg.vocab)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(tokenizer_merges(tokenizer))
    end, turn_end = tokenizer.token_to_id("<|endoftext|>"), tokenizer.token_to_id("<|im_end|>")
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(end)
    writer.add_eot_token_id(turn_end)
    writer.add_pad_token_id(end)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_chat_template(TEMPLATE.read_text())

    for name, value in gguf_tensors(model):
        if value.ndim == 2:
            packed = gguf.quants.quantize(value.astype(np.float32), gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(name, value.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"{path}: {path.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    write_gguf(Path(sys.argv[1] if len(sys.argv) > 1 else "build"))
