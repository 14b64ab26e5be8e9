#!/usr/bin/env python3
"""Writes tests/base/quantize_golden.inc: rows of floats and what sentence-transformers' quantize_embeddings
makes of them, with the ranges of the rows themselves and with given ones, and floats with numpy's float16.

    pip install numpy==2.4.6 sentence-transformers==6.2.0
    python3 tools/make_golden_quantize.py > tests/base/quantize_golden.inc
"""
import logging

import numpy as np
import sentence_transformers
from sentence_transformers.util import quantization

SEED = 17
SHAPES = [(2, 1), (3, 7), (5, 8), (4, 13), (6, 24)]


def hexes(array, width):
    return ", ".join("0x%0*x" % (width, int(v)) for v in np.asarray(array).ravel())


def words(floats):
    return hexes(np.ascontiguousarray(floats, dtype=np.float32).view(np.uint32), 8)


def row_block(rng, n, dim):
    rows = rng.standard_normal((n, dim)).astype(np.float32) / np.float32(dim) ** np.float32(0.5)
    if dim > 1:
        rows[:, 1] = rows[0, 1]  # a step of 0
    rows[0, 0] = 0.0             # of which no bit is set
    rows[-1, -1] = -0.0
    return rows


def half_inputs(rng):
    bits = [0, 1, 0x007FFFFF, 0x00800000, 0x33000000, 0x33000001, 0x33800000, 0x33BFFFFF, 0x33C00000, 0x387FC000,
            0x387FE000, 0x387FF000, 0x38800000, 0x3F800000, 0x3F801000, 0x3F801001, 0x3F803000, 0x477FE000,
            0x477FEFFF, 0x7F800000]
    bits += [int(v) for v in rng.integers(0x30000000, 0x477FF000, 200)]
    bits += [bit | 0x80000000 for bit in bits]
    return np.array(bits, dtype=np.uint32)


def main():
    logging.disable(logging.WARNING)  # of fewer than 100 rows
    rng = np.random.default_rng(SEED)
    print("/* made by tools/make_golden_quantize.py, sentence-transformers %s, numpy %s, seed %d */"
          % (sentence_transformers.__version__, np.__version__, SEED))
    for n, dim in SHAPES:
        rows = row_block(rng, n, dim)
        own = np.vstack([rows.min(axis=0), rows.max(axis=0)])
        given = np.vstack([own[0] * np.float32(0.5), own[1] * np.float32(0.5)]).astype(np.float32)
        given.sort(axis=0)
        made = [quantization.quantize_embeddings(rows, "int8"),
                quantization.quantize_embeddings(rows, "uint8"),
                quantization.quantize_embeddings(rows, "int8", ranges=given),
                quantization.quantize_embeddings(rows, "uint8", ranges=given),
                quantization.quantize_embeddings(rows, "binary"),
                quantization.quantize_embeddings(rows, "ubinary")]
        assert (made[1] == quantization.quantize_embeddings(rows, "uint8", ranges=own)).all()
        print("GOLDEN_ROWS(%d, %d, LIST(%s), LIST(%s), LIST(%s)," % (n, dim, words(rows), words(own), words(given)))
        print(",\n".join("    LIST(%s)" % hexes(m.view(np.uint8), 2) for m in made) + ")")
    bits = half_inputs(rng)
    halves = bits.view(np.float32).astype(np.float16)
    print("GOLDEN_HALVES(LIST(%s),\n    LIST(%s),\n    LIST(%s))"
          % (hexes(bits, 8), hexes(halves.view(np.uint16), 4), words(halves.astype(np.float32))))


main()
