#!/usr/bin/env python3
"""Writes FORMAT.bin for every format with arithmetic: blocks of random and of extreme bytes, then what they decode to.

The decoder is that of the `gguf` package on PyPI. A file is: number of blocks (u32), the blocks, the weights (f32), all
little-endian. Run from this folder: `python3 make.py`.
"""

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize

# Byte offsets of the f16 fields of a block.
HALVES = {
    T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q2_K: [80, 82], T.Q3_K: [108],
    T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208],
}


def main():
    rng = np.random.default_rng(20261121)
    for kind, halves in HALVES.items():
        weights, size = GGML_QUANT_SIZES[kind]
        blocks = rng.integers(0, 256, (10 if weights > 32 else 40, size), dtype=np.uint8)
        blocks[0], blocks[1], blocks[2], blocks[3] = 0, 255, 0x80, 0x7F
        scales = rng.normal(0, 0.1, (len(blocks), len(halves))).astype(np.float16)
        scales[4], scales[5] = np.float16(6e-8), np.float16(-65504)
        for column, at in enumerate(halves):
            blocks[:, at : at + 2] = scales[:, column : column + 1].view(np.uint8)
        values = dequantize(blocks, kind).astype("<f4")
        assert np.isfinite(values).all()
        with open(f"{kind.name.lower()}.bin", "wb") as file:
            file.write(np.uint32(len(blocks)).tobytes() + blocks.tobytes() + values.tobytes())
        print(kind.name, len(blocks), values.size)


if __name__ == "__main__":
    main()
