"""Sparse weights in Python: against sentence-transformers', and FastEmbed's interface to them."""

import asyncio
import copy
import inspect
import json
import os
import pickle
import shutil
import unittest
import warnings

import kit
import numpy as np

import vecmill.bm25
from vecmill import SparseEmbedding, SparseTextEmbedding

FAMILIES = os.path.join(kit.harness.SHARED, "data", "families")


def model(**more):
    return SparseTextEmbedding(kit.model("splade"), **more)


def same(found):
    return [(row.indices.tolist(), row.values.tobytes()) for row in found]


class Weights(kit.Case):
    """Of other libraries: to 2e-5 of the largest, where a weight that is missing is 0."""

    def close(self, ours, theirs):
        self.assertEqual(len(ours), len(theirs))
        largest = max(max(want["values"], default=0) for want in theirs)
        for row, want in zip(ours, theirs, strict=True):
            self.assertEqual((row.values.dtype, row.indices.dtype), (np.float64, np.int64))
            self.assertTrue((np.diff(row.indices) > 0).all() and (row.values > 0).all())
            want, got = dict(zip(want["indices"], want["values"], strict=True)), row.as_dict()
            self.assertEqual(list(got), row.indices.tolist())
            worst = max((abs(want.get(i, 0) - got.get(i, 0)) for i in {*want, *got}), default=0)
            self.assertLess(worst / largest, 2e-5)

    def test_sentence_transformers(self):
        for name in "splade-bert", "splade-bert-own", "splade-distilbert":
            folder, cases = kit.words_model(os.path.join("heads", name + ".json"))
            cases = [case for case in cases if len(case["ids"]) > 1]  # a text has both special tokens
            with self.subTest(name):
                self.assertGreater(len(cases), 3)
                texts = [kit.words_of(case["ids"]) for case in cases]
                self.close(list(SparseTextEmbedding(folder).embed(texts)), cases)

    def test_families(self):
        if not os.path.isdir(FAMILIES):
            self.skipTest(f"there is no {FAMILIES}")
        for name, expected in (("splade", "expected"), ("opensearch-doc", "expected"), ("bge-m3", "expected_sparse")):
            folder = os.path.join(FAMILIES, name)
            with self.subTest(name), open(os.path.join(folder, expected + ".jsonl"), encoding="utf-8") as wanted, \
                    open(os.path.join(folder, "texts.jsonl"), encoding="utf-8") as texts:
                found = SparseTextEmbedding(folder).passage_embed(json.loads(line)["text"] for line in texts)
                self.close(list(found), [json.loads(line) for line in wanted])


class FastEmbeds(kit.Case):
    """FastEmbed 0.9.1's names, order, defaults, laziness and errors."""

    def test_signatures(self):
        empty = inspect.Parameter.empty
        for call, want in [
                (SparseTextEmbedding, [("model_name", empty), ("cache_dir", None), ("threads", None), ("providers", None),
                                       ("cuda", vecmill.Device.AUTO), ("device_ids", None), ("lazy_load", False)]),
                (SparseTextEmbedding.embed, [("self", empty), ("documents", empty), ("batch_size", 256),
                                             ("parallel", None)]),
                (SparseTextEmbedding.token_count, [("self", empty), ("texts", empty), ("batch_size", 1024)]),
                (SparseEmbedding, [("values", empty), ("indices", empty)])]:
            found = [(p.name, p.default) for p in inspect.signature(call).parameters.values()
                     if p.kind is p.POSITIONAL_OR_KEYWORD]
            self.assertEqual(found, want)

    def test_in_order_whatever_computes(self):
        texts, m = [*kit.texts(120), "", " "], model()
        found = m.embed(texts)
        self.assertTrue(inspect.isgenerator(found))
        rows = list(found)
        self.assertEqual({type(row) for row in rows}, {SparseEmbedding})
        self.assertGreater(len({row.values.tobytes() for row in rows}), 100)
        want = same(rows)

        async def all_of():
            return [row async for row in m.aembed(texts, parallel=1)]
        for more in (m.embed(iter(texts), batch_size=3), m.embed(texts, batch_size=1, parallel=2), m.passage_embed(texts),
                     m.query_embed(texts), m.passage_embed(texts, parallel=0, batch_size=1), asyncio.run(all_of()),
                     copy.deepcopy(m).embed(texts), pickle.loads(pickle.dumps(m)).embed(texts),
                     model(threads=1, lazy_load=True).embed(texts)):
            self.assertEqual(same(more), want)
        self.assertEqual(same(m.query_embed(texts[3])), want[3:4])
        self.assertEqual(m.token_count(texts[:2]), m.token_count(texts[0]) + m.token_count(texts[1]))

    def test_lazy(self):
        read = []
        found = model().embed((read.append(text) or text for text in kit.texts(400)), batch_size=8)
        self.assertEqual(read, [])
        next(found)
        self.assertEqual(len(read), 8)

    def test_a_result(self):
        row = next(model().embed("of a lake"))
        self.assertEqual(set(row.as_object()), {"values", "indices"})
        again = SparseEmbedding.from_dict(row.as_dict())
        self.assertEqual((again.indices.dtype, again.values.dtype), (np.int64, np.float64))
        self.assertEqual((again.indices.tolist(), again.values.tolist()),
                         (row.indices.tolist(), row.values.tolist()))
        self.assertEqual(len(SparseEmbedding.from_dict({}).indices), 0)
        self.assertEqual({type(x) for item in row.as_dict().items() for x in item}, {int, float})

    def test_workers_are_killed(self):
        texts, m, got, killed = kit.texts(600), model(), [], 0
        want = same(m.embed(texts))
        for row in m.embed(iter(texts), parallel=2):
            got.append(row)
            if len(got) in (1, 200):
                killed += sum(kit.kill(pid) for pid in kit.workers()[:1])
        self.assertGreater(killed, 0)
        self.assertEqual(same(got), want)

    def test_a_document_that_fails(self):
        m = model(lazy_load=True)
        m.model._choices["long"] = "error"
        texts = ["a", "b " * 200, "c"]
        for parallel in (None, 1):
            with self.assertRaisesRegex(vecmill.DocumentError, "document 1: "):
                list(m.embed(iter(texts), parallel=parallel))
            rows = list(m.embed(iter(texts), parallel=parallel, on_error="skip"))
            self.assertEqual([len(row.indices) > 0 for row in rows], [True, False, True])

    def test_mistakes(self):
        self.assertEqual(set(SparseTextEmbedding.list_supported_models()[0]), {
            "model", "sources", "model_file", "description", "license", "size_in_GB", "additional_files", "requires_idf",
            "vocab_size"})
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            SparseTextEmbedding("prithvida/Splade_PP_en_v1", specific_model_path=kit.model("splade"))
        self.assertEqual([w.category for w in told], [DeprecationWarning])
        table = os.path.join(kit.home(), "with-table")
        shutil.copytree(kit.model("splade"), table)
        with open(os.path.join(table, "idf.json"), "w", encoding="utf-8") as file:
            file.write("{}")
        for words, call in [
                ("not supported in SparseTextEmbedding", lambda: SparseTextEmbedding("no/such")),
                ("no/such/folder", lambda: SparseTextEmbedding("prithivida/splade_pp_en_v1",
                                                               specific_model_path="/no/such/folder")),
                ("Provider CUDA", lambda: model(cuda=True)),
                ("batch_size", lambda: next(model().embed(["a"], batch_size=0))),
                ("sparse is asked for", lambda: SparseTextEmbedding(kit.model("toy"))),
                ("idf.json: queries of this model", lambda: next(SparseTextEmbedding(table).query_embed("a")))]:
            with self.subTest(words), self.assertRaisesRegex(ValueError, words):
                call()
        for call in (lambda: list(model().embed([3])), lambda: list(model().embed({"a": "b"})), lambda: model(no=3)):
            with self.assertRaises(TypeError):
                call()

    def test_the_plan_holds(self):
        m = model()
        self.assertGreater(m.plan(2)["total_bytes"], m.plan(1)["total_bytes"])
        with self.assertRaises(vecmill.DoesNotFitError):
            list(model(memory=m.plan(1)["total_bytes"] // 4).embed(iter(["a"]), parallel=1))


class Words(kit.Case):
    """BM25 by FastEmbed's name; its numbers are test_words.py's."""

    texts = ["The quick brown foxes are jumping", "", "jumping jumping fox", "Über allen Gipfeln"]

    def test_as_bm25(self):
        options = {"language": "german", "k": 1.5, "b": 0.5, "avg_len": 3.0}
        for more in ({}, options, {**options, "stopwords": {"jumping"}}, {"disable_stemmer": True}):
            m = SparseTextEmbedding("qdrant/BM25", **more)
            want = [(i.tolist(), w.tolist()) for i, w in vecmill.bm25.Bm25(**more).documents(self.texts)]

            async def all_of(m=m):
                return [row async for row in m.aembed(self.texts)]
            for found in (m.embed(self.texts), m.embed(iter(self.texts), 2, parallel=2), m.passage_embed(self.texts),
                          pickle.loads(pickle.dumps(m)).embed(self.texts), asyncio.run(all_of())):
                rows = list(found)
                self.assertEqual([(row.indices.tolist(), row.values.tolist()) for row in rows], want)
                self.assertEqual({(row.indices.dtype, row.values.dtype) for row in rows},
                                 {(np.dtype(np.int64), np.dtype(np.float64))})
            query = next(m.query_embed(self.texts[2]))
            self.assertEqual((query.values.dtype, set(query.values.tolist())), (np.int64, {1}))
            self.assertEqual(query.indices.tolist(), rows[2].indices.tolist())
        self.assertEqual(SparseTextEmbedding("Qdrant/bm25").token_count(self.texts), 6 + 3 + 3)

    def test_stop_words_of_a_folder(self):
        folder = os.path.join(kit.home(), "stop-words")
        os.mkdir(folder)
        with open(os.path.join(folder, "english.txt"), "w", encoding="utf-8") as file:
            file.write("quick\nbrown\n")
        own = SparseTextEmbedding("Qdrant/bm25", specific_model_path=folder)
        given = SparseTextEmbedding("Qdrant/bm25", stopwords=["quick", "brown"])
        self.assertEqual(same(own.embed(self.texts)), same(given.embed(self.texts)))
        none = SparseTextEmbedding("Qdrant/bm25", specific_model_path=folder, language="german")
        self.assertEqual(same(none.embed(self.texts)),
                         same(SparseTextEmbedding("Qdrant/bm25", stopwords=[], language="german").embed(self.texts)))

    def test_mistakes(self):
        m = SparseTextEmbedding("Qdrant/bm25")
        for words, call in [
                ("klingon", lambda: SparseTextEmbedding("Qdrant/bm25", language="klingon")),
                ("stemmer= ", lambda: SparseTextEmbedding("Qdrant/bm25", stemmer=object())),
                ("/no/such", lambda: SparseTextEmbedding("Qdrant/bm25", specific_model_path="/no/such")),
                ("batch_size", lambda: next(m.embed(["a"], batch_size=0))),
                ("no plan", m.plan)]:
            with self.subTest(words), self.assertRaisesRegex(ValueError, words):
                call()
        for call in (lambda: list(m.embed([3])), lambda: list(m.query_embed([None])), lambda: model(language="german"),
                     lambda: SparseTextEmbedding("Qdrant/bm25", no_such=1)):
            with self.assertRaises(TypeError):
                call()


if __name__ == "__main__":
    kit.main()
