"""Vectors as they are stored, in Python: against numpy, and sentence-transformers where it is installed."""

import importlib.util
import os
import subprocess
import unittest

import kit
import numpy as np

import vecmill
from vecmill import _programs, dequantize_embeddings, quantization_ranges, quantize_embeddings

PRECISIONS = ["float32", "float16", "int8", "uint8", "binary", "ubinary"]


def numpys(rows, precision, ranges):
    """The rules, written with numpy alone."""
    if precision.startswith("float"):
        return rows.astype(precision)
    if precision.endswith("binary"):
        bits = np.packbits(rows > 0, axis=-1)
        return bits if precision == "ubinary" else (bits ^ 128).view(np.int8)
    steps = (ranges[1] - ranges[0]) / np.float32(255)
    q = np.clip(np.floor((rows - ranges[0]) / np.where(steps == 0, np.float32(1), steps)), 0, 255)
    return q.astype(np.uint8) if precision == "uint8" else (q - 128).astype(np.int8)


def sample(n, dim, seed):
    rows = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    rows[:, 0] = 0.25  # a range of one value
    return rows


class Quantize(unittest.TestCase):
    def test_numbers_are_numpys(self):
        for n, dim in (2, 1), (7, 8), (50, 13), (300, 384):
            rows, ranges = sample(n, dim, dim), quantization_ranges(sample(9, dim, 1))
            for precision in PRECISIONS:
                for given in None, ranges:
                    own = np.vstack([rows.min(axis=0), rows.max(axis=0)]) if given is None else given
                    made, want = quantize_embeddings(rows, precision, given), numpys(rows, precision, own)
                    self.assertEqual(made.dtype, want.dtype)
                    np.testing.assert_array_equal(made, want)
                np.testing.assert_array_equal(
                    quantize_embeddings(rows, precision, calibration_embeddings=sample(9, dim, 1)),
                    quantize_embeddings(rows, precision, ranges))
                np.testing.assert_array_equal(quantize_embeddings(np.asfortranarray(rows.astype(np.float64)), precision),
                                              quantize_embeddings(rows, precision))
                self.assertEqual(quantize_embeddings(rows[:0], precision).shape,
                                 (0, -(-dim // 8) if "binary" in precision else dim))

    @unittest.skipUnless(importlib.util.find_spec("sentence_transformers"), "sentence-transformers is not installed")
    def test_numbers_are_sentence_transformers(self):
        from sentence_transformers.util.quantization import quantize_embeddings as theirs
        for dim in 8, 384:
            rows, ranges = sample(200, dim, 5), quantization_ranges(sample(100, dim, 6))
            for precision in ("int8", "uint8", "binary", "ubinary"):
                for given in None, ranges:
                    made, want = quantize_embeddings(rows, precision, given), theirs(rows, precision, given)
                    self.assertEqual(made.dtype, want.dtype)
                    np.testing.assert_array_equal(made, want)

    def test_back(self):
        rows = sample(40, 21, 3)
        ranges = quantization_ranges(rows)
        half = (ranges[1] - ranges[0]) / 255 / 2
        half[0] = 0.5  # where there is no range a step is 1
        for precision in "int8", "uint8":
            back = dequantize_embeddings(quantize_embeddings(rows, precision), precision, ranges)
            self.assertTrue((np.abs(back - rows) <= half * 1.01).all())
        for precision in "binary", "ubinary":
            back = dequantize_embeddings(quantize_embeddings(rows, precision), precision, dim=21)
            np.testing.assert_array_equal(back, np.where(rows > 0, 1, -1))
        np.testing.assert_array_equal(dequantize_embeddings(rows.astype(np.float16), "float16"),
                                      rows.astype(np.float16).astype(np.float32))

    def test_what_does_not_fit(self):
        rows = sample(3, 4, 1)
        for call, words in [
            (lambda: quantize_embeddings(rows, "int4"), "'int4' is none of float32, float16"),
            (lambda: quantize_embeddings(rows[0], "int8"), r"shape \(4,\)"),
            (lambda: quantize_embeddings(rows[:1], "int8"), "of 1 row, 2 rows are the least"),
            (lambda: quantize_embeddings(rows, "int8", rows), r"\(3, 4\), \(2, 4\) is needed"),
            (lambda: quantize_embeddings(rows, "int8", rows[:2, :3]), r"\(2, 3\), \(2, 4\) is needed"),
            (lambda: quantize_embeddings(rows, "uint8", [[1] * 4, [0] * 4]), "component 0 ranges from 1 to 0"),
            (lambda: quantize_embeddings(rows * np.float32(1e6), "float16"), "the greatest float16 is 65504"),
            (lambda: quantize_embeddings([[0, 1], [np.nan, 1]], "int8", [[0, 0], [1, 1]]),
             "component 0 of row 1 is not a number"),
            (lambda: quantization_ranges([[0, 1], [np.inf, 1]]), "component 0 of row 1 is inf"),
            (lambda: dequantize_embeddings(rows, "int8", rows[:2]), "rows are float32, of int8 they are int8"),
            (lambda: dequantize_embeddings(rows.astype(np.int8), "int8"), r"needs ranges of the shape \(2, 4\)"),
            (lambda: dequantize_embeddings(rows.astype(np.int8), "binary", dim=40), "40 components of binary take 5"),
        ]:
            with self.subTest(words), self.assertRaisesRegex(ValueError, words):
                call()

    def test_what_the_program_wrote(self):
        folder = os.path.join(kit.home(), "quantize")
        os.makedirs(folder, exist_ok=True)
        texts, out = os.path.join(folder, "in.txt"), os.path.join(folder, "out.npy")
        with open(texts, "w", encoding="utf-8") as file:
            file.write("\n".join(kit.texts(30)))
        model = kit.model("toy")
        rows = vecmill.Embedder(model).embed(kit.texts(30))
        for precision in PRECISIONS:
            subprocess.run([_programs.PROGRAM, "embed", "-m", model, "-i", texts, "-o", out, "--dtype", precision],
                           check=True, capture_output=True)
            np.testing.assert_array_equal(np.load(out), quantize_embeddings(rows, precision))
            if precision.endswith("int8"):
                np.testing.assert_array_equal(np.load(out + ".ranges.npy"), quantization_ranges(rows))


if __name__ == "__main__":
    kit.main()
