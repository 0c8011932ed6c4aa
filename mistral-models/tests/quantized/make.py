#!/usr/bin/env python3
"""Writes the goldens of tests/quantized.rs: weights quantized and dequantized by the genuine packages.

Run with torch, safetensors, transformers, bitsandbytes, hqq and compressed-tensors installed, and the source trees of
AutoGPTQ 0.7.1 and AutoAWQ 0.2.9 unpacked at $AUTOGPTQ and $AUTOAWQ (two of their modules are loaded alone):

    AUTOGPTQ=... AUTOAWQ=... python make.py

`python make.py modelopt` writes those of ModelOpt only (nvidia-modelopt 0.47.0, which needs none of the other packages but transformers).

Each file holds the tensors of a checkpoint, `expected.<module>` for weights as the package dequantizes them in f32, and in its
metadata the `quantization_config`. Files named model_* hold a whole decoder. Written with torch 2.15, bitsandbytes 0.50.2,
hqq 0.2.8, compressed-tensors 0.20.0, transformers 5.23.0.
"""
import importlib.util
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent
torch.manual_seed(1)
rng = np.random.default_rng(1)


def load(path, name):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ONLY_MODELOPT = sys.argv[1:] == ["modelopt"]
if not ONLY_MODELOPT:
    autogptq = load(Path(os.environ["AUTOGPTQ"]) / "auto_gptq/nn_modules/qlinear/qlinear_cuda.py", "autogptq_qlinear")
    autoawq = load(Path(os.environ["AUTOAWQ"]) / "awq/utils/packing_utils.py", "autoawq_packing")


def weight(out, inputs):
    return torch.randn(out, inputs) * 0.05


def affine(w, bits, group, sym):
    """Codes [out, in], f16 scales and whole zero points [out, groups] of plain rounding."""
    out, inputs = w.shape
    g = w.reshape(out, inputs // group, group)
    top = 2**bits - 1
    if sym:
        scale = (g.abs().amax(-1) * 2 / top).clamp(min=1e-4)
        zero = torch.full_like(scale, (top + 1) // 2)
    else:
        low, high = g.amin(-1).clamp(max=0), g.amax(-1).clamp(min=0)
        scale = ((high - low) / top).clamp(min=1e-4)
        # 0 cannot be stored by version 1 of GPTQ.
        zero = torch.round(-low / scale).clamp(1, top)
    scale = scale.half().float()
    codes = torch.round(g / scale[..., None] + zero[..., None]).clamp(0, top)
    return codes.reshape(out, inputs).int(), scale, zero.int()


def stream(values, bits):
    """Packs along the last dimension: a stream of bits, the lowest first, in words of 32."""
    flat = values.numpy().astype(np.uint64)
    out = np.zeros(flat.shape[:-1] + (flat.shape[-1] * bits // 32,), np.uint64)
    for i in range(flat.shape[-1]):
        bit = i * bits
        word, shift = divmod(bit, 32)
        wide = flat[..., i] << np.uint64(shift)
        out[..., word] |= wide & np.uint64(0xFFFFFFFF)
        if shift + bits > 32:
            out[..., word + 1] |= wide >> np.uint64(32)
    return torch.from_numpy(out.astype(np.uint32).view(np.int32))


def gptq(w, bits, group, sym, order=False, v2=False):
    out, inputs = w.shape
    size = inputs if group == -1 else group
    g_idx = torch.arange(inputs) // size
    if order:
        g_idx = g_idx[torch.randperm(inputs)]
    by_group = torch.argsort(g_idx, stable=True)
    sorted_codes, scale, zero = affine(w[:, by_group], bits, size, sym)
    codes = torch.empty_like(sorted_codes)
    codes[:, by_group] = sorted_codes
    parts = {
        "qweight": stream(codes, bits).T.contiguous(),
        "scales": scale.T.contiguous().half(),
        "qzeros": stream((zero.T - (0 if v2 else 1)) % 2**bits, bits).contiguous(),
        "g_idx": g_idx.int(),
    }
    genuine = autogptq.QuantLinear(bits, size, inputs, out, False, weight_dtype=torch.float32)
    genuine.qweight, genuine.g_idx = parts["qweight"], parts["g_idx"]
    genuine.scales = parts["scales"].float()
    # The package knows version 1 only.
    genuine.qzeros = stream(zero.T - 1, bits).contiguous()
    expected = genuine(torch.eye(inputs)).T.contiguous()
    return parts, expected


def awq(w, group):
    out, inputs = w.shape
    codes, scale, zero = affine(w, 4, group, False)
    # As `WQLinear_GEMM.from_linear` packs.
    pack = lambda t: stream(t.reshape(t.shape[0], -1, 8)[:, :, [0, 2, 4, 6, 1, 3, 5, 7]].reshape(t.shape), 4)
    parts = {
        "qweight": pack(codes.T.contiguous()),
        "qzeros": pack(zero.T.contiguous()),
        "scales": scale.T.contiguous().half(),
    }
    expected = autoawq.dequantize_gemm(parts["qweight"], parts["qzeros"], parts["scales"].float(), 4, group)
    return parts, expected.T.contiguous()


def fp8(w, height, width, name, dtype=torch.float32, shape=None):
    out, inputs = w.shape
    scales = torch.empty(-(-out // height), -(-inputs // width))
    codes = torch.empty_like(w, dtype=torch.float8_e4m3fn)
    expected = torch.empty_like(w)
    for i in range(scales.shape[0]):
        for j in range(scales.shape[1]):
            tile = slice(i * height, (i + 1) * height), slice(j * width, (j + 1) * width)
            scale = (w[tile].abs().max() / 448).to(dtype)
            scales[i, j] = scale.float()
            codes[tile] = (w[tile] / scale.float()).to(torch.float8_e4m3fn)
            expected[tile] = codes[tile].float() * scale.float()
    scales = scales.to(dtype)
    return {"weight": codes, name: scales if shape is None else scales.reshape(shape)}, expected


def nf4(w, kind="nf4", nested=True, blocksize=64, storage=torch.uint8):
    from bitsandbytes import functional

    codes, state = functional.quantize_4bit(
        w, blocksize=blocksize, compress_statistics=nested, quant_type=kind, quant_storage=storage
    )
    parts = {"weight": codes}
    parts.update({f"weight.{k}": v for k, v in state.as_dict(packed=True).items()})
    if w.shape[1] % blocksize == 0:
        return parts, functional.dequantize_4bit(codes, state)
    # The CPU kernel of 0.50.2 takes wrong scales where blocks go over the ends of rows; the generic code follows the quantizer.
    from bitsandbytes.backends.default.ops import _dequantize_4bit_compute

    absmax = functional.dequantize_blockwise(state.absmax, state.state2) + state.offset
    return parts, _dequantize_4bit_compute(codes.reshape(-1), absmax, state.code, blocksize, w.shape, torch.float32)


def int8(w):
    from bitsandbytes import functional

    codes, scb, _ = functional.int8_vectorwise_quant(w.half())
    parts = {"weight": codes, "SCB": scb.float(), "weight_format": torch.tensor(0, dtype=torch.uint8)}
    return parts, functional.int8_vectorwise_dequant(codes, scb.float())


def hqq(w, bits, group, axis=1):
    from hqq.core.quantize import Quantizer
    from hqq.core.utils import encode_safetensor_type

    codes, meta = Quantizer.quantize(
        w, nbits=bits, group_size=group, axis=axis, device="cpu", optimize=False, compute_dtype=torch.float16
    )
    meta["scale"], meta["zero"] = meta["scale"].half(), meta["zero"].half()
    stored = dict(meta, compute_dtype=torch.float16, quant_scale=False, quant_zero=False)
    parts = {"W_q": codes}
    parts.update({k: encode_safetensor_type(v) for k, v in stored.items()})
    for flag in ["offload_meta", "encoded_state_dict", "stores_quant_config", "channel_wise", "optimize", "round_zero"]:
        parts[flag] = encode_safetensor_type(flag != "offload_meta")
    exact = dict(meta, scale=meta["scale"].float(), zero=meta["zero"].float(), compute_dtype=torch.float32)
    return {k: v for k, v in parts.items() if v is not None}, Quantizer.dequantize(codes, exact)


def compressed(w, args, form, dtype=torch.bfloat16, order=False):
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    # The package dropped `actorder: group` in 0.15; files that have it remain.
    known = {k: v for k, v in args.items() if k != "actorder"}
    scheme = QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(**known))
    out, inputs = w.shape
    strategy = args["strategy"]
    height, width = {
        "tensor": (out, inputs),
        "channel": (1, inputs),
        "group": (1, args.get("group_size") or 1),
        "block": tuple(args.get("block_structure") or (1, 1)),
    }[strategy]
    g_idx = torch.arange(inputs) // width
    if order:
        g_idx = g_idx[torch.randperm(inputs)]
    by_group = torch.argsort(g_idx, stable=True)
    top = 2 ** args["num_bits"] - 1
    tiles = -(-out // height), -(-inputs // width)
    scale, zero = torch.empty(tiles), torch.zeros(tiles, dtype=torch.int8)
    for i in range(tiles[0]):
        for j in range(tiles[1]):
            tile = w[:, by_group][i * height : (i + 1) * height, j * width : (j + 1) * width]
            if args.get("type") == "float":
                scale[i, j] = tile.abs().max() / 448
            elif args.get("symmetric", True):
                scale[i, j] = tile.abs().max() * 2 / top
            else:
                low, high = min(tile.min(), 0), max(tile.max(), 0)
                scale[i, j] = (high - low) / top
                zero[i, j] = torch.round(-low / scale[i, j] - (top + 1) // 2)
    scale = scale.to(dtype)
    if strategy == "tensor":
        scale, zero = scale.reshape(1), zero.reshape(1)
    state = {"weight": w, "weight_scale": scale.float()}
    if not args.get("symmetric", True):
        state["weight_zero_point"] = zero
    if order:
        state["weight_g_idx"] = g_idx.int()
        # Older versions sorted the columns by group, dequantized, and sorted them back: the same by hand.
        compressor = BaseCompressor.get_value_from_registry(form)
        sorted_parts = compressor.compress({"weight": w[:, by_group], "weight_scale": scale.float()}, scheme)
        dense = compressor.decompress(dict(sorted_parts), scheme)["weight"]
        expected = torch.empty_like(dense)
        expected[:, by_group] = dense
        from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32, unpack_from_int32

        codes = unpack_from_int32(sorted_parts["weight_packed"], args["num_bits"], w.shape)
        unsorted = torch.empty_like(codes)
        unsorted[:, by_group] = codes
        sorted_parts["weight_packed"] = pack_to_int32(unsorted, args["num_bits"])
        return dict(sorted_parts, weight_scale=scale, weight_g_idx=g_idx.int()), expected
    compressor = BaseCompressor.get_value_from_registry(form)
    parts = compressor.compress(state, scheme)
    expected = compressor.decompress(dict(parts), scheme)["weight"]
    return dict(parts, weight_scale=scale), expected.float()


def mxfp4():
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    blocks = torch.from_numpy(rng.integers(0, 256, (2, 8, 3, 16), np.uint8))
    scales = torch.from_numpy(rng.integers(110, 140, (2, 8, 3), np.uint8))
    scales[0, 0] = torch.tensor([0, 1, 254])
    expected = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32)
    name = "model.layers.0.mlp.experts.gate_up_proj"
    tensors = {f"{name}_blocks": blocks, f"{name}_scales": scales}
    # The package transposes to [experts, in, out].
    save("mxfp4", {"quant_method": "mxfp4"}, tensors, {name: expected.transpose(1, 2).contiguous()})


def modelopt_checkpoint(algorithm, hidden, kv=False):
    """What `export_hf_checkpoint` writes of a decoder of one layer: its tensors, config.json and hf_quant_config.json."""
    import copy
    import tempfile

    import modelopt.torch.quantization as mtq
    from modelopt.torch.export import export_hf_checkpoint
    from safetensors.torch import load_file
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(2)
    sizes = dict(hidden_size=hidden, intermediate_size=160 if hidden > 128 else 128)
    heads = dict(num_attention_heads=4, num_key_value_heads=2, num_hidden_layers=1)
    rest = dict(vocab_size=48, max_position_embeddings=64, rms_norm_eps=1e-5, initializer_range=0.2)
    model = LlamaForCausalLM(LlamaConfig(**sizes, **heads, **rest, architectures=["LlamaForCausalLM"]))
    config = copy.deepcopy(getattr(mtq, algorithm))
    if kv:
        config["quant_cfg"] += mtq.FP8_KV_CFG["quant_cfg"]
    model = mtq.quantize(model.to(torch.bfloat16), config, lambda model: model(torch.arange(48).reshape(1, 48)))
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        export_hf_checkpoint(model, export_dir=folder)
        read = lambda name: json.loads((Path(folder) / name).read_text())
        return load_file(Path(folder) / "model.safetensors"), read("config.json"), read("hf_quant_config.json")


def modelopt():
    tensors, config, own = modelopt_checkpoint("FP8_DEFAULT_CFG", 64, kv=True)
    expected = {}
    for name in ["self_attn.k_proj", "mlp.down_proj"]:
        base = f"model.layers.0.{name}"
        expected[f"{base}.weight"] = tensors[f"{base}.weight"].float() * tensors[f"{base}.weight_scale"]
    save("model_modelopt", config["quantization_config"], tensors, expected, {"hf_quant_config": json.dumps(own)})
    for case, algorithm, hidden, tile in [
        ("modelopt_channel", "FP8_PER_CHANNEL_PER_TOKEN_CFG", 64, (1, 128)),
        ("modelopt_tiles", "FP8_2D_BLOCKWISE_WEIGHT_ONLY_CFG", 136, (128, 128)),
    ]:
        tensors, config, _ = modelopt_checkpoint(algorithm, hidden)
        base = "model.layers.0.mlp.down_proj."
        parts = {k.removeprefix(base): v for k, v in tensors.items() if k.startswith(base)}
        weight = parts["weight"].float()
        out, inputs = weight.shape
        scales = parts["weight_scale"].reshape(-(-out // tile[0]), -(-inputs // tile[1]))
        print(case, {k: (v.dtype, tuple(v.shape)) for k, v in parts.items()})
        scales = scales.repeat_interleave(tile[0], 0)[:out].repeat_interleave(tile[1], 1)[:, :inputs]
        single(case, config["quantization_config"], (parts, weight * scales))


def save(case, config, tensors, expected, more={}):
    tensors = {k: v.contiguous() for k, v in tensors.items()}
    tensors.update({f"expected.{k}": v.float().contiguous() for k, v in expected.items()})
    save_file(tensors, HERE / f"{case}.safetensors", {"quantization_config": json.dumps(config), **more})


def single(case, config, made):
    parts, expected = made
    save(case, config, {f"layer.{k}": v for k, v in parts.items()}, {"layer.weight": expected})


LINEARS = {
    "self_attn.q_proj": (64, 64),
    "self_attn.k_proj": (32, 64),
    "self_attn.v_proj": (32, 64),
    "self_attn.o_proj": (64, 64),
    "mlp.gate_proj": (128, 64),
    "mlp.up_proj": (128, 64),
    "mlp.down_proj": (64, 128),
}


def model(case, config, make, dtype=torch.float16, zero_biases=False):
    """A decoder of one layer; what its checkpoint expects is stored for two modules, to keep the file small."""
    tensors = {
        "model.embed_tokens.weight": torch.randn(48, 64),
        "model.norm.weight": 1 + 0.1 * torch.randn(64),
        "lm_head.weight": torch.randn(48, 64),
    }
    expected = {}
    base = "model.layers.0."
    for norm in ["input_layernorm", "post_attention_layernorm"]:
        tensors[f"{base}{norm}.weight"] = 1 + 0.1 * torch.randn(64)
    tensors = {k: v.to(dtype) for k, v in tensors.items()}
    for name, (out, inputs) in LINEARS.items():
        parts, values = make(torch.randn(out, inputs) * 2 / inputs**0.5)
        tensors.update({f"{base}{name}.{k}": v for k, v in parts.items()})
        if zero_biases:
            tensors[f"{base}{name}.bias"] = torch.zeros(out, dtype=dtype)
        if name in ["self_attn.k_proj", "mlp.down_proj"]:
            expected[f"{base}{name}.weight"] = values
    save(f"model_{case}", config, tensors, expected)


def main():
    if ONLY_MODELOPT:
        return modelopt()
    for old in HERE.glob("*.safetensors"):
        old.unlink()
    w = weight(32, 128)

    def gptq_config(bits, group, **more):
        return {"quant_method": "gptq", "bits": bits, "group_size": group, "damp_percent": 0.01, **more}

    for bits in [2, 3, 8]:
        for sym in [True, False]:
            config = gptq_config(bits, 32, sym=sym, desc_act=False)
            single(f"gptq{bits}_{'sym' if sym else 'asym'}", config, gptq(w, bits, 32, sym))
    single("gptq4_asym", gptq_config(4, 64, sym=False, desc_act=False), gptq(w, 4, 64, False))
    single("gptq4_row", gptq_config(4, -1, sym=True, desc_act=False), gptq(w, 4, -1, True))
    single("gptq4_order", gptq_config(4, 32, sym=False, desc_act=True), gptq(w, 4, 32, False, order=True))
    single("gptq4_v2", gptq_config(4, 32, sym=False, checkpoint_format="gptq_v2"), gptq(w, 4, 32, False, v2=True))
    single("gptq4_small_groups", gptq_config(4, 16, sym=False), gptq(w, 4, 16, False))
    config = gptq_config(4, 64, sym=True, desc_act=False, static_groups=False, true_sequential=True)
    model("gptq", config, lambda w: gptq(w, 4, 64, True), zero_biases=True)

    awq_config = {"quant_method": "awq", "bits": 4, "group_size": 64, "version": "gemm", "zero_point": True}
    model("awq", dict(awq_config, modules_to_not_convert=["lm_head"]), lambda w: awq(w, 64))
    single("awq_128", dict(awq_config, group_size=128), awq(w, 128))

    fp8_config = {"quant_method": "fp8", "activation_scheme": "dynamic", "fmt": "e4m3"}
    tiles = dict(fp8_config, weight_block_size=[32, 64])
    model("fp8", tiles, lambda w: fp8(w, 32, 64, "weight_scale_inv"), torch.bfloat16)
    single("fp8_partial_tiles", tiles, fp8(weight(40, 160), 32, 64, "weight_scale_inv"))
    single("fp8_narrow", dict(fp8_config, weight_block_size=[16, 16]), fp8(weight(24, 72), 16, 16, "weight_scale_inv"))
    single("fp8_e8m0", tiles, fp8(weight(40, 160), 32, 64, "weight_scale_inv", torch.float8_e8m0fnu))
    per_tensor = fp8(w, 32, 128, "weight_scale", torch.bfloat16, ())
    per_tensor[0]["input_scale"] = torch.tensor(0.5)
    single("fp8_tensor", dict(fp8_config, activation_scheme="static", ignored_layers=["lm_head"]), per_tensor)
    fbgemm = {"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0, "modules_to_not_convert": ["lm_head"]}
    single("fp8_fbgemm", fbgemm, fp8(w, 1, 128, "weight_scale"))

    bnb = {
        "quant_method": "bitsandbytes",
        "_load_in_4bit": True,
        "load_in_4bit": True,
        "load_in_8bit": False,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": "bfloat16",
        "bnb_4bit_quant_storage": "uint8",
        "llm_int8_threshold": 6.0,
        "llm_int8_skip_modules": ["lm_head"],
    }
    model("nf4", bnb, nf4, torch.bfloat16)
    single("nf4_plain", dict(bnb, bnb_4bit_use_double_quant=False), nf4(w, nested=False, blocksize=128))
    single("nf4_storage", dict(bnb, bnb_4bit_quant_storage="bfloat16"), nf4(w, storage=torch.bfloat16))
    single("nf4_runs", bnb, nf4(weight(6, 96)))
    single("fp4", dict(bnb, bnb_4bit_quant_type="fp4"), nf4(w, kind="fp4"))
    eight = dict(bnb, load_in_4bit=False, _load_in_4bit=False, load_in_8bit=True)
    model("int8", eight, int8)

    hqq_config = lambda bits, group, axis=1: {
        "quant_method": "hqq",
        "quant_config": {"weight_quant_params": {"nbits": bits, "group_size": group, "axis": axis}},
        "skip_modules": ["lm_head"],
    }
    model("hqq", hqq_config(4, 64), lambda w: hqq(w, 4, 64))
    for bits in [1, 2, 3, 8]:
        single(f"hqq{bits}", hqq_config(bits, 32), hqq(w, bits, 32))
    single("hqq4_axis0", hqq_config(4, 64, 0), hqq(w, 4, 64, 0))

    def ct(form, args, **more):
        return {
            "quant_method": "compressed-tensors",
            "format": form,
            "quantization_status": "compressed",
            "global_compression_ratio": None,
            "kv_cache_scheme": None,
            "ignore": ["lm_head"],
            "config_groups": {
                "group_0": {
                    "targets": ["Linear"],
                    "weights": {**args, "dynamic": False, "observer": "minmax", "observer_kwargs": {}},
                    "input_activations": None,
                    "output_activations": None,
                }
            },
            **more,
        }

    def ct_case(case, form, dtype=torch.bfloat16, order=False, shape=(32, 128), **args):
        args = {"type": "int", "symmetric": True, **args}
        single(case, ct(form, args), compressed(weight(*shape), args, form, dtype, order))

    four = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": 64}
    model("ct4", ct("pack-quantized", four), lambda w: compressed(w, four, "pack-quantized"), torch.bfloat16)
    ct_case("ct4_asym", "pack-quantized", num_bits=4, symmetric=False, strategy="group", group_size=32)
    ct_case("ct4_channel", "pack-quantized", torch.float16, num_bits=4, symmetric=False, strategy="channel")
    ct_case("ct4_order", "pack-quantized", order=True, num_bits=4, strategy="group", group_size=32, actorder="group")
    ct_case("ct3", "pack-quantized", shape=(8, 96), num_bits=3, strategy="group", group_size=32)
    ct_case("ct5", "pack-quantized", num_bits=5, strategy="group", group_size=32, symmetric=False)
    ct_case("ct8", "pack-quantized", num_bits=8, strategy="channel")
    ct_case("ct_int8", "int-quantized", num_bits=8, strategy="channel")
    ct_case("ct_int8_f32", "int-quantized", torch.float32, num_bits=8, strategy="tensor")
    ct_case("ct_int8_asym", "int-quantized", num_bits=8, strategy="channel", symmetric=False)
    float8 = {"num_bits": 8, "type": "float", "symmetric": True, "strategy": "channel"}
    model("ct_fp8", ct("float-quantized", float8), lambda w: compressed(w, float8, "float-quantized"), torch.bfloat16)
    ct_case("ct_fp8_tensor", "float-quantized", num_bits=8, type="float", strategy="tensor")
    ct_case("ct_fp8_block", "float-quantized", num_bits=8, type="float", strategy="block", block_structure=[16, 64])
    mxfp4()
    modelopt()


if __name__ == "__main__":
    sys.exit(main())
