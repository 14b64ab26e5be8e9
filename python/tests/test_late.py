"""Late interaction in Python: scores against NumPy's own, encodings against FastEmbed's, and what is refused."""

import copy
import importlib.util
import json
import os
import pickle
import unittest

import kit
import numpy as np

import vecmill
from vecmill.postprocess import Muvera


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


class Planes(unittest.TestCase):
    """Muvera against what FastEmbed made of the same seeds: tests/data/late/seeds.json."""

    def test_numbers_are_fastembeds(self):
        for case in golden("seeds.json")["cases"]:
            muvera = Muvera(**case["arguments"])
            self.assertEqual(muvera.embedding_size, case["embedding_size"])
            rng = np.random.default_rng(case["seed"])
            vectors = rng.standard_normal((case["n"], muvera.dim))
            for name, made in [("document", muvera.process_document(vectors)),
                               ("query", muvera.process_query(vectors))]:
                self.assertEqual(made.dtype, np.float64)
                places = np.linspace(0, len(made) - 1, len(case[name]) - 1).astype(int)
                np.testing.assert_allclose([*made[places], np.abs(made).sum()], case[name], rtol=1e-12, atol=1e-12)

    def test_beside_fastembed(self):
        if importlib.util.find_spec("fastembed") is None:
            self.skipTest("FastEmbed is not installed; tests/data/late/seeds.json has some of its numbers")
        from fastembed.postprocess import Muvera as Theirs
        rng = np.random.default_rng(3)
        for arguments in [(128,), (96, 4, 8, 10, 7), (16, 3, 16, 2), (12, 6, 5, 3, 1)]:
            ours, theirs = Muvera(*arguments), Theirs(*arguments)
            for n in 1, 3, 100, 700:
                for dtype in np.float32, np.float64:
                    vectors = rng.standard_normal((n, ours.dim)).astype(dtype)
                    for name in "process_document", "process_query":
                        np.testing.assert_allclose(getattr(ours, name)(vectors), getattr(theirs, name)(vectors),
                                                   rtol=1e-12, atol=1e-12)

    def test_planes_are_kept(self):
        muvera = Muvera(24, 3, 8, 2, 5)
        path = os.path.join(kit.home(), "planes.npy")
        np.save(path, muvera.planes)
        vectors = np.random.default_rng(1).standard_normal((9, 24))
        for other in (Muvera.from_planes(path, 3), Muvera.from_planes(muvera.planes, k_sim=3),
                      copy.copy(muvera), pickle.loads(pickle.dumps(muvera))):
            np.testing.assert_array_equal(other.process_document(vectors), muvera.process_document(vectors))
            self.assertEqual((other.dim, other.k_sim, other.dim_proj, other.r_reps), (24, 3, 8, 2))

    def test_encodings_stand_for_maxsim(self):
        """Of 60 documents the one that holds the query's vectors is the nearest by both."""
        rng = np.random.default_rng(11)
        docs = [unit(rng, 30, 64) for _ in range(60)]
        query = docs[17][:8] + 0.1 * unit(rng, 8, 64)
        muvera = Muvera.from_multivector_model(type("Model", (), {"embedding_size": 64}))
        encoded = np.stack([muvera.process_document(doc) for doc in docs])
        self.assertEqual(np.argmax(encoded @ muvera.process_query(query)), 17)
        offsets = np.arange(61) * 30
        self.assertEqual(np.argmax(vecmill.maxsim(query, np.concatenate(docs), offsets)), 17)

    def test_what_does_not_fit(self):
        muvera = Muvera(8, 2, 4, 2)
        for words, call in [
            (r"dim_proj=9 > dim=8", lambda: Muvera(8, dim_proj=9)),
            (r"shape \(n, 8\), got \(3, 7\)", lambda: muvera.process_query(np.zeros((3, 7)))),
            (r"shape \(n, 8\), got \(8,\)", lambda: muvera.process_document(np.zeros(8))),
            (r"empty multivector", lambda: muvera.process_document(np.zeros((0, 8)))),
            (r"both true, of a document", lambda: muvera.process(np.zeros((1, 8)), True, False)),
            (r"k_sim is 21, over VECMILL_MUVERA_PLANES, 20",
             lambda: Muvera(1, 21, 1, 1).process_query(np.zeros((1, 1)))),
            (r"\[r_reps, dim, 6 \+ dim_proj\] is needed", lambda: Muvera.from_planes(muvera.planes, 6)),
            (r"is k_sim another than 1", lambda: Muvera.from_planes(muvera.planes, 1)),
        ]:
            with self.subTest(words), self.assertRaisesRegex(ValueError, words):
                call()


if __name__ == "__main__":
    kit.main()
