"""BM25's weights in Python: FastEmbed's numbers (tests/data/lex/bm25.json), laziness, copies, threads, refusals."""

import copy
import json
import os
import pickle
import threading
import unittest

import kit
import numpy as np

from vecmill.bm25 import Bm25


def golden():
    with open(os.path.join(kit.ROOT, "tests", "data", "lex", "bm25.json"), encoding="utf-8") as file:
        return json.load(file)["cases"]


class Words(unittest.TestCase):
    def test_numbers_are_fastembeds(self):
        for case in golden():
            bm25 = Bm25(case["language"], stopwords=case["stopwords"], **case["options"])
            indices, weights = next(bm25.documents([case["text"]]))
            self.assertEqual((indices.dtype, weights.dtype), (np.int64, np.float32))
            self.assertEqual(indices.tolist(), case["indices"])
            np.testing.assert_allclose(weights, case["values"], rtol=1e-6)
            asked, ones = next(bm25.queries(case["text"]))
            self.assertEqual(asked.tolist(), case["query"])
            self.assertTrue((ones == 1).all())
            self.assertEqual(bm25.token_count([case["text"]]), case["words"])

    def test_texts_are_read_when_asked_for(self):
        read = []

        def texts():
            for i in range(600):
                read.append(i)
                yield f"text number {i}"

        each = Bm25().documents(texts())
        self.assertEqual(read, [])
        first = next(each)[0]
        self.assertLess(len(read), 600)
        self.assertEqual(len([first, *each]), 600)

    def test_copies_and_threads(self):
        bm25 = Bm25("german", b=0.5, stopwords=["und"])
        texts = [f"Häuser und Straßen {i}" * 50 for i in range(50)]
        want = [(i.tolist(), w.tolist()) for i, w in bm25.documents(texts)]
        for other in copy.copy(bm25), pickle.loads(pickle.dumps(bm25)):
            self.assertEqual([(i.tolist(), w.tolist()) for i, w in other.documents(texts)], want)
        got = [None] * 4

        def work(k):
            got[k] = [(i.tolist(), w.tolist()) for i, w in bm25.documents(texts)]

        threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(got, [want] * 4)

    def test_what_is_refused(self):
        for words, options in [("k is -1", {"k": -1}), ("b is 2, 0 to 1", {"b": 2}), ("avg_len is 0", {"avg_len": 0}),
                               ("no stemmer for \"klingon\"", {"language": "klingon"}),
                               ("at most 0 characters", {"token_max_length": 0})]:
            with self.subTest(words), self.assertRaisesRegex(ValueError, words):
                Bm25(**options)
        with self.assertRaisesRegex(TypeError, "text 1 is <class 'int'>, not a str"):
            list(Bm25().documents(["one", 2]))
        with self.assertRaises(TypeError):
            Bm25(stopwords=[1])
        self.assertEqual(list(Bm25().documents([])), [])
        self.assertEqual(len(next(Bm25().documents(["\udc80 lone"]))[0]), 1)


if __name__ == "__main__":
    kit.main()
