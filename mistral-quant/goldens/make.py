"""Writes goldens/<format>.bin: blocks with the weights that the `gguf` package (PyPI) reads from them.

That package knows Q8_1, Q8_K and Q1_0 by name only and Q2_0 not at all; their definition here is that of ggml's `block_q8_1`,
`block_q8_K`, `block_q1_0` and `block_q2_0`.

Layout, little-endian:
  u32 blocks, the blocks' bytes, their weights as f32           random, extreme and zero blocks for the decoder
  u32 blocks, weights as f32, the blocks' bytes                 for the encoder; 0 blocks where `gguf` cannot encode the format
                                                                or an encoder has choices

Usage: python make.py  (needs numpy and gguf; tested with gguf 0.19)
"""

import pathlib
import struct

import gguf
import numpy as np

# Format: offsets of the f16 scales in a block.
FORMATS = {
    "F32": [], "F16": [], "BF16": [],
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
    "Q8_1": [0, 2], "Q8_K": [], "IQ4_NL": [0], "IQ4_XS": [0], "TQ1_0": [52], "TQ2_0": [64], "MXFP4": [], "NVFP4": [],
    "IQ1_S": [0], "IQ1_M": [], "IQ2_XXS": [0], "IQ2_XS": [0], "IQ2_S": [0], "IQ3_XXS": [0], "IQ3_S": [0],
    "Q1_0": [0], "Q2_0": [0],
}

# Weights and bytes of blocks that `gguf` does not know or (Q8_1) knows in an early layout.
SIZES = {"Q8_1": (32, 36), "Q1_0": (128, 18), "Q2_0": (64, 18)}

# Formats with an encoder that leaves no choice, so that all must agree; TQ1_0, TQ2_0 and Q2_0 on weights that are ternary.
EXACT = {"F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "TQ1_0", "TQ2_0", "Q1_0", "Q2_0"}


def dequantize(blocks, name):
    """The weights of blocks [count, bytes], as one row."""
    count = len(blocks)
    if name == "Q8_1":
        d = blocks[:, :2].copy().view("<f2").astype(np.float32)
        return (d * blocks[:, 4:].view(np.int8).astype(np.float32)).reshape(-1)
    if name == "Q8_K":
        d = blocks[:, :4].copy().view("<f4")
        return (d * blocks[:, 4:260].view(np.int8).astype(np.float32)).reshape(-1)
    if name in ("Q1_0", "Q2_0"):
        d = blocks[:, :2].copy().view("<f2").astype(np.float32)
        bits = 1 if name == "Q1_0" else 2
        codes = np.unpackbits(blocks[:, 2:], axis=1, bitorder="little").reshape(count, -1, bits)
        codes = (codes * [1, 2][:bits]).sum(axis=2)
        return (d * (2 * codes - 1 if bits == 1 else codes - 1).astype(np.float32)).astype("<f4").reshape(-1)
    return gguf.dequantize(blocks.reshape(1, -1), gguf.GGMLQuantizationType[name]).astype("<f4").reshape(-1)


def quantize(x, name):
    """The blocks of weights, as one row."""
    if name == "Q1_0":
        x = x.reshape(-1, 128)
        d = np.cumsum(np.abs(x), axis=1, dtype=np.float32)[:, -1:] / np.float32(128)
        return np.hstack([d.astype("<f2").view(np.uint8), np.packbits(x >= 0, axis=1, bitorder="little")])
    if name == "Q2_0":
        x = x.reshape(-1, 64)
        d = np.abs(x).max(axis=1, keepdims=True)
        codes = np.clip(np.round(x / np.where(d > 0, d, 1)) + 1, 0, 3).astype(np.uint8).reshape(len(x), 16, 4)
        return np.hstack([d.astype("<f2").view(np.uint8), (codes << [0, 2, 4, 6]).sum(axis=2).astype(np.uint8)])
    return gguf.quantize(x.reshape(1, -1), gguf.GGMLQuantizationType[name])


def blocks_of(rng, size, scales, count):
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    blocks[0] = 0
    blocks[1] = 255
    blocks[2] = 127
    values = [1.0, -1.0, 65504.0, -65504.0, 2.0**-24, 2.0**-14, 0.0, -0.0, np.inf]
    for row in range(1, count - 1):  # the last block keeps whatever the bytes say
        for i, at in enumerate(scales):
            value = values[(row + 3 * i) % len(values)] if row < 12 else rng.normal() * 0.01
            blocks[row, at:at + 2] = np.frombuffer(np.float16(value).tobytes(), dtype=np.uint8)
    return blocks


def main():
    folder = pathlib.Path(__file__).parent
    rng = np.random.default_rng(20240607)
    for name, scales in FORMATS.items():
        weights, size = SIZES.get(name) or gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
        count = {1: 256, 32: 40, 64: 40, 128: 20, 256: 14}[weights]
        blocks = blocks_of(rng, size, scales, count)
        with np.errstate(all="ignore"):
            decoded = dequantize(blocks, name)
        assert decoded.size == count * weights
        out = struct.pack("<I", count) + blocks.tobytes() + decoded.tobytes()
        # Ties are where rounding rules differ: quarter steps hit them often.
        x = np.concatenate([rng.normal(size=640), rng.integers(-64, 65, 608) / 4.0, np.zeros(32)])
        if name in EXACT:
            if name.startswith("TQ") or name == "Q2_0":
                x = (rng.integers(-1, 2, (5, 256)) * rng.normal(size=(5, 1)) / 8).reshape(-1)
            x = x.astype(np.float32)
            encoded = quantize(x, name)
            out += struct.pack("<I", x.size // weights) + x.astype("<f4").tobytes() + encoded.tobytes()
        else:
            out += struct.pack("<I", 0)
        (folder / f"{name.lower()}.bin").write_bytes(out)
        print(name, len(out))


main()
