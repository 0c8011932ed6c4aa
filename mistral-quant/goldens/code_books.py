"""Writes src/formats/code_books/<format>.bin: the points of the code books of IQ1, IQ2 and IQ3.

They are facts of the formats, taken from the `gguf` package (PyPI), which holds them in this packed form: for IQ1 and IQ2 eight
values a point, two bits each; for IQ3 four values a point, four bits each; the first value in the lowest bits. What the bits mean
is stated in src/formats/code_book.rs.

Usage: python code_books.py  (needs gguf; tested with gguf 0.19)
"""

import pathlib

from gguf import quants

folder = pathlib.Path(__file__).parent.parent / "src/formats/code_books"
folder.mkdir(exist_ok=True)
for name in ["IQ1_S", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S"]:
    book = getattr(quants, name)
    packed = bytes.fromhex(book.grid_hex.decode())
    points, values = book.grid_shape
    assert len(packed) == points * 2
    (folder / f"{name.lower()}.bin").write_bytes(packed)
    print(name, points, values, book.grid_map)
