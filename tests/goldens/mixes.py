"""Writes mixes.json: the type that llama.cpp gives each matrix of small models, for every mix, without and with an importance matrix.

    python mixes.py path/to/llama-quantize

Needs the packages `gguf` and `numpy`, and a `llama-quantize` that knows `--dry-run`. The committed file was made with the llama.cpp
inside the crate `llama-cpp-sys-2` 0.1.161.
"""

import json
import re
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np

FILE_TYPES = {
    "F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q2_K": 10, "Q3_K_S": 11, "Q3_K_M": 12, "Q3_K_L": 13,
    "Q4_K_S": 14, "Q4_K_M": 15, "Q5_K_S": 16, "Q5_K_M": 17, "Q6_K": 18, "IQ2_XXS": 19, "IQ2_XS": 20, "Q2_K_S": 21, "IQ3_XS": 22,
    "IQ3_XXS": 23, "IQ1_S": 24, "IQ4_NL": 25, "IQ3_S": 26, "IQ3_M": 27, "IQ2_S": 28, "IQ2_M": 29, "IQ4_XS": 30, "IQ1_M": 31,
    "BF16": 32, "TQ1_0": 36, "TQ2_0": 37, "MXFP4_MOE": 38,
}
MODELS = [
    dict(layers=20, heads=8, kv_heads=2, experts=0, tied=False, hidden=256, wide=512),
    dict(layers=16, heads=8, kv_heads=8, experts=0, tied=True, hidden=256, wide=512),
    dict(layers=8, heads=8, kv_heads=2, experts=8, tied=False, hidden=256, wide=256),
    dict(layers=9, heads=8, kv_heads=4, experts=0, tied=False, hidden=320, wide=544),
    dict(layers=80, heads=8, kv_heads=2, experts=0, tied=False, hidden=256, wide=256),
]
ROWS = 32


def shapes(model):
    hidden, wide, experts = model["hidden"], model["wide"], model["experts"]
    keys = hidden // model["heads"] * model["kv_heads"]
    yield "token_embd", (ROWS, hidden)
    if not model["tied"]:
        yield "output", (ROWS, hidden)
    for layer in range(model["layers"]):
        for name, shape in [
            ("attn_q", (hidden, hidden)), ("attn_k", (keys, hidden)), ("attn_v", (keys, hidden)), ("attn_output", (hidden, hidden)),
        ]:
            yield f"blk.{layer}.{name}", shape
        for name, shape in [("gate", (wide, hidden)), ("up", (wide, hidden)), ("down", (hidden, wide))]:
            yield (f"blk.{layer}.ffn_{name}_exps", (experts, *shape)) if experts else (f"blk.{layer}.ffn_{name}", shape)


def write(model, path):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(model["hidden"])
    writer.add_block_count(model["layers"])
    writer.add_feed_forward_length(model["wide"])
    writer.add_head_count(model["heads"])
    writer.add_head_count_kv(model["kv_heads"])
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(ROWS)
    writer.add_tokenizer_model("none")
    if model["experts"]:
        writer.add_expert_count(model["experts"])
        writer.add_expert_used_count(2)
    for name, shape in shapes(model):
        writer.add_tensor(f"{name}.weight", np.zeros(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def runs(types):
    out = []
    for kind in types:
        if out and out[-1][0] == kind:
            out[-1][1] += 1
        else:
            out.append([kind, 1])
    return " ".join(f"{kind}*{count}" for kind, count in out)


def main():
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        model_path, matrix = Path(folder) / "model.gguf", Path(folder) / "imatrix.dat"
        matrix.write_bytes(struct.pack("<i", 1) + struct.pack("<i", 5) + b"dummy" + struct.pack("<iif", 1, 1, 1.0))
        for model in MODELS:
            write(model, model_path)
            for mix, number in FILE_TYPES.items():
                for importance in [False, True]:
                    option = ["--imatrix", matrix] if importance else []
                    command = [sys.argv[1], "--dry-run", *option, model_path, str(number)]
                    log = subprocess.run(command, capture_output=True, text=True, check=True)
                    types = {}
                    for line in (log.stdout + log.stderr).splitlines():
                        found = re.match(r"\[ *\d+/ *\d+\] (?:blk\.(\d+)\.)?(\w+)\.weight .*type = +(\w+), .*?(?:\((\w+)\))?$", line)
                        if found:
                            layer, part, before, after = found.groups()
                            types.setdefault(part, {})[int(layer or 0)] = (after or before).upper()
                    parts = {part: runs(kinds for _, kinds in sorted(by.items())) for part, by in types.items()}
                    if importance and cases[-1]["types"] == parts:
                        cases[-1]["importance"] = None  # Without and with.
                    else:
                        cases.append(dict(model, mix=mix, importance=importance, types=parts))
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    (Path(__file__).parent / "mixes.json").write_text(f"[\n{lines}\n]\n")


main()
