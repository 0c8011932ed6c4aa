"""Writes goldens/ggml_errors.tsv: what the encoders of ggml lose, for the test that holds ours to them.

Each line holds a format, the kind of weights, whether ggml got the importance of the columns, and
`sum(importance * (x - y)^2) / sum(importance * x^2)`, where y is what ggml's `ggml_quantize_chunk` and `dequantize_row_*` make of the
weights x. Without importance, all columns count alike.

The weights come from a linear congruential generator and small integers, so that the test makes the same ones bit by bit.

Usage: python ggml_errors.py PATH/TO/libggml-base.so  (needs numpy; the library is that of a llama.cpp 0.6 built with shared libraries)
"""

import ctypes
import pathlib
import sys

import numpy as np

ROWS, COLS = 16, 512

# The number of each type in ggml.h.
FORMATS = {
    "Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7, "Q8_0": 8, "Q2_K": 10, "Q3_K": 11, "Q4_K": 12, "Q5_K": 13, "Q6_K": 14,
    "IQ2_XXS": 16, "IQ2_XS": 17, "IQ3_XXS": 18, "IQ1_S": 19, "IQ4_NL": 20, "IQ3_S": 21, "IQ2_S": 22, "IQ4_XS": 23, "IQ1_M": 29,
    "TQ1_0": 34, "TQ2_0": 35, "MXFP4": 39, "NVFP4": 40, "Q1_0": 41, "Q2_0": 42,
}
NEED_IMPORTANCE = {"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS"}


class Numbers:
    """16 bits at a time."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return self.state >> 48


def made(kind):
    """Importance [COLS] and weights [ROWS, COLS]; every number is exact in f32."""
    numbers = Numbers({"even": 1, "heavy": 2}[kind])
    importance = [(1 + numbers.next() // 4096) ** 3 for _ in range(COLS)]
    weights = []
    for _ in range(ROWS * COLS):
        # A sum of four even numbers is nearly normal; the factor makes the tail of some kinds heavier.
        weight = sum(numbers.next() for _ in range(4)) - 131072
        factor = numbers.next() % 8
        weights.append(weight * ([1, 1, 1, 1, 2, 2, 3, 5][factor] if kind == "heavy" else 1))
    weights = np.array(weights, dtype=np.float32).reshape(ROWS, COLS) * np.float32(2.0**-20)
    return np.array(importance, dtype=np.float32), weights


def main():
    ggml = ctypes.CDLL(sys.argv[1])
    ggml.ggml_row_size.restype = ctypes.c_size_t
    ggml.ggml_row_size.argtypes = [ctypes.c_int, ctypes.c_int64]
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int] + [ctypes.c_void_p] * 2 + [ctypes.c_int64] * 3 + [ctypes.c_void_p]
    lines = []
    for name, number in FORMATS.items():
        # K-quants have a capital K in their functions' names.
        decode = getattr(ggml, "dequantize_row_" + name.lower().replace("_k", "_K"))
        decode.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
        for kind in ["even", "heavy"]:
            importance, x = made(kind)
            for given in [True, False]:
                if not given and name in NEED_IMPORTANCE:
                    continue
                ggml.ggml_quantize_init(number)
                size = ggml.ggml_row_size(number, COLS) * ROWS
                blocks, y = np.zeros(size, dtype=np.uint8), np.zeros_like(x)
                pointer = importance.ctypes.data if given else None
                written = ggml.ggml_quantize_chunk(number, x.ctypes.data, blocks.ctypes.data, 0, ROWS, COLS, pointer)
                assert written == size, (name, written, size)
                decode(blocks.ctypes.data, y.ctypes.data, x.size)
                weighted = importance.astype(np.float64) if given else np.ones(COLS)
                off = x.astype(np.float64) - y
                error = (weighted * off**2).sum() / (weighted * x.astype(np.float64) ** 2).sum()
                lines.append(f"{name}\t{kind}\t{'importance' if given else 'alike'}\t{error:.9e}\n")
    (pathlib.Path(__file__).parent / "ggml_errors.tsv").write_text("".join(lines))


main()
