"""Late interaction in Python: scores against NumPy's own, and what is refused."""

import json
import os
import unittest

import kit
import numpy as np

import vecmill


def golden(name):
    with open(os.path.join(kit.ROOT, "tests", "data", "late", name), encoding="utf-8") as file:
        return json.load(file)


def unit(rng, n, dim):
    rows = rng.standard_normal((n, dim), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class MaxSim(unittest.TestCase):
    def test_scores_are_numpys(self):
        rng = np.random.default_rng(20261201)
        for dim, n_query, lengths in [(1, 1, [1]), (128, 32, [3, 0, 100, 1, 250]), (96, 70, [5] * 40)]:
            query, rows = unit(rng, n_query, dim), unit(rng, sum(lengths), dim)
            offsets = np.cumsum([0, *lengths])
            products = query.astype(np.float64) @ rows.T.astype(np.float64)
            want = [products[:, a:b].max(axis=1).sum() if b > a else -np.inf
                    for a, b in zip(offsets, offsets[1:])]
            scores = vecmill.maxsim(query, rows, offsets)
            self.assertEqual(scores.dtype, np.float32)
            np.testing.assert_allclose(scores, want, rtol=1e-6, atol=1e-6 * n_query)
            for more in vecmill.maxsim(query, rows, offsets, threads=3), vecmill.maxsim(
                    query.astype(np.float64), np.asfortranarray(rows), offsets.astype(np.uint32)):
                np.testing.assert_array_equal(more, scores)

    def test_outputs_of_a_file(self):
        folder = os.path.join(kit.home(), "late")
        os.makedirs(folder, exist_ok=True)
        rng = np.random.default_rng(7)
        rows, offsets = unit(rng, 20, 16), np.array([0, 4, 4, 20])
        np.save(os.path.join(folder, "o.npy"), rows)
        mapped = np.load(os.path.join(folder, "o.npy"), mmap_mode="r")
        query = unit(rng, 3, 16)
        np.testing.assert_array_equal(vecmill.maxsim(query, mapped, offsets), vecmill.maxsim(query, rows, offsets))
        # some of the documents alone: offsets need not begin with 0
        np.testing.assert_array_equal(vecmill.maxsim(query, mapped, offsets[2:]),
                                      vecmill.maxsim(query, rows, offsets)[2:])
        self.assertEqual(vecmill.maxsim(query, rows, [0]).shape, (0,))

    def test_what_does_not_fit(self):
        rows = np.zeros((4, 8), np.float32)
        for query, offsets, words in [
            (rows[:, :7], [0, 4], r"shape \(4, 7\) and rows \(4, 8\)"),
            (rows[0], [0, 4], r"shape \(8,\)"),
            (rows, [0, 5], r"end at row 5, there are 4"),
            (rows, [-1, 4], r"hold -1"),
            (rows, [], r"whole numbers"),
            (rows, [[0, 4]], r"whole numbers"),
            (rows, [0.0, 4.0], r"float64"),
            (rows[:0], [0, 4], r"0 rows, 1 to 65536"),
            (rows, [0, 3, 2], r"document 1 of 2 begins at row 3 and ends before row 2"),
        ]:
            with self.subTest(words), self.assertRaisesRegex(ValueError, words):
                vecmill.maxsim(query, rows, offsets)
        with self.assertRaisesRegex(ValueError, "threads is 300"):
            vecmill.maxsim(rows, rows, [0, 4], threads=300)


if __name__ == "__main__":
    kit.main()
