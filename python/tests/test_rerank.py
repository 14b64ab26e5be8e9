"""Scores of pairs in Python: against transformers' and sentence-transformers', FastEmbed's interface and our own."""

import asyncio
import copy
import inspect
import json
import os
import pickle
import unittest

import kit
import numpy as np

import vecmill
from vecmill import CrossEncoder, Embedder, ModelSource
from vecmill.rerank.cross_encoder import TextCrossEncoder

FAMILIES = os.path.join(kit.harness.SHARED, "data", "families")


def cross(name="cross", **more):
    return CrossEncoder(kit.model(name), **more)


def text_cross(name="cross", **more):
    return TextCrossEncoder(kit.model(name), **more)


def pairs(n, words=12, seed=1):
    return [(query, text) for query, text in zip(kit.texts(n, 4, seed), kit.texts(n, words, seed + 1), strict=True)]


def of_ids():
    """A BERT of three labels: (folder, pairs, logits as transformers has them)."""
    folder, cases = kit.words_model(os.path.join("families", "cross-bert.json"))
    texts = [tuple(kit.words_of(token for token, kind in zip(case["ids"], case["types"], strict=True) if kind == side)
                   for side in (0, 1)) for case in cases]
    return folder, texts, np.array([case["vector"] for case in cases], np.float32)


class Scores(kit.Case):
    """Of other libraries, to 2e-5 of the largest."""

    def close(self, ours, theirs):
        self.assertEqual((ours.dtype, ours.shape), (np.dtype(np.float32), theirs.shape))
        self.assertLess(float(np.abs(ours - theirs).max() / np.abs(theirs).max()), 2e-5)

    def test_transformers(self):
        folder, texts, want = of_ids()
        model = CrossEncoder(folder, raw_scores=True)
        self.assertEqual((model.labels, model.num_labels), (["no", "perhaps", "yes"], 3))
        self.close(model.predict(texts), want)
        self.close(CrossEncoder(folder).predict(texts), want)  # several labels: the activation is the identity
        self.close(np.array(list(TextCrossEncoder(folder).rerank_pairs(texts)), np.float32), want[:, 0])
        self.close(model.predict(texts[3]), want[3])
        with self.assertRaisesRegex(vecmill.UsageError, "has 3 scores for a pair"):
            model.rank("t9", ["t8"])

    def test_families(self):
        if not os.path.isdir(FAMILIES):
            self.skipTest(f"there is no {FAMILIES}")
        tried = 0
        for name in sorted(os.listdir(FAMILIES)):
            folder = os.path.join(FAMILIES, name)
            if not name.startswith("cross-"):
                continue
            if os.path.exists(os.path.join(folder, "prompt.json")):
                print(f"not {name}: its pairs need a prompt that the folder does not have")
                continue
            with self.subTest(name), open(os.path.join(folder, "pairs.jsonl"), encoding="utf-8") as file:
                texts = [(row["query"], row["document"]) for row in map(json.loads, file)]
                scores = os.path.join(folder, "expected_scores.npy")
                if os.path.exists(scores):
                    self.close(CrossEncoder(folder).predict(texts, batch_size=7), np.load(scores))
                raw = np.load(os.path.join(folder, "expected.npy"))
                self.close(np.array(list(TextCrossEncoder(folder).rerank_pairs(texts)), np.float32), raw)
                tried += 1
        print(f"{tried} families")
        self.assertGreater(tried, 0)


class Own(kit.Case):
    def test_predict_and_rank(self):
        model, raw, given = cross(), cross(raw_scores=True), pairs(60)
        scores, logits = model.predict(given), raw.predict(given)
        self.assertEqual((scores.dtype.name, scores.shape, model.labels), ("float32", (60,), ["LABEL_0"]))
        self.assertLess(float(np.abs(1 / (1 + np.exp(-logits.astype(np.float64))) - scores).max()), 1e-6)
        self.assertGreater(len(set(scores.tolist())), 50)
        for more in (model.predict(map(list, given)), model.predict(np.array(given)), model.predict(given, parallel=2),
                     cross(threads=1).predict(tuple(given), batch_size=1)):
            np.testing.assert_array_equal(more, scores)
        for one in (given[7], list(given[7])):
            score = model.predict(one)
            self.assertEqual((type(score), score), (np.float32, scores[7]))
        self.assertEqual(model.predict([]).shape, (0,))
        self.assertEqual(cross("cross3").predict(given).shape, (60, 3))
        self.assertEqual(cross("cross3").predict([]).shape, (0, 3))

        query, documents = given[0][0], [text for _, text in given]
        by = model.predict([(query, text) for text in documents]).tolist()
        best = sorted(range(60), key=lambda i: -by[i])
        self.assertEqual(model.rank(query, documents), [{"corpus_id": i, "score": by[i]} for i in best])
        self.assertEqual(model.rank(query, iter(documents), 3, True, parallel=1),
                         [{"corpus_id": i, "score": by[i], "text": documents[i]} for i in best[:3]])
        self.assertEqual([hit["corpus_id"] for hit in model.rank(query, [documents[5]] * 3)], [0, 1, 2])
        self.assertEqual(model.rank(query, []), [])

    def test_what_cannot_be_scored(self):
        long = [("a b", "c"), ("a", "d " * 40), ("e", "f")]
        model = cross(max_length=16, long="error")
        with self.assertRaisesRegex(vecmill.DocumentError, "document 1: .*16 are allowed"):
            model.predict(long)
        skipped = model.predict(long, on_error="skip")
        self.assertEqual([bool(score) for score in skipped], [True, False, True])
        np.testing.assert_array_equal(model.predict(long, on_error="skip", parallel=1), skipped)
        self.assertEqual({hit["corpus_id"] for hit in model.rank("a", [text for _, text in long], on_error="skip")}, {0, 2})
        with self.assertRaisesRegex(vecmill.DocumentError, "document 1"):
            model.rank("a", [text for _, text in long])
        for words, call in [
                ("pairs is str", lambda: cross().predict("a query")),
                ("the document of pair 1 is int", lambda: cross().predict([("a", "b"), ("a", 3)])),
                ("pair 0 has 3 texts", lambda: cross().predict([("a", "b", "c")])),
                ("pair 1 is str", lambda: cross().predict([("a", "b"), "c d"])),
                ("pairs is dict", lambda: cross().predict({"a": "b"})),
                ("pairs is generator|pair 0 is int", lambda: cross().predict(i for i in range(3))),
                ("documents is dict", lambda: cross().rank("a", {"a": "b"}))]:
            with self.subTest(words), self.assertRaisesRegex(TypeError, words):
                call()
        for words, call in [
                ("top_k is -1", lambda: cross().rank("a", ["b"], -1)),
                ("on_error is", lambda: cross().predict(["a", "b"], on_error="no")),
                ("makes? no|score", lambda: CrossEncoder(kit.model("toy"))),
                ("pairs", lambda: Embedder(kit.model("cross")).embed(["a"])),
                ("split", lambda: cross(long="split"))]:
            with self.subTest(words), self.assertRaisesRegex(vecmill.UsageError, words):
                call()

    def test_copies(self):
        given, model = pairs(5), cross(raw_scores=True)
        want = model.predict(given)
        for other in (pickle.loads(pickle.dumps(model)), copy.copy(model), copy.deepcopy(model)):
            np.testing.assert_array_equal(other.predict(given), want)
        mine = text_cross()
        for other in (mine, pickle.loads(pickle.dumps(mine)), copy.deepcopy(mine)):
            self.assertEqual(list(other.rerank_pairs(given)), want.tolist())

    def test_a_worker_is_killed(self):
        given, model = pairs(600, 20), cross()
        want, got = model.predict(given), []
        killed = set()
        for row in model.stream(iter(given), parallel=2):
            got.append(row)
            if len(got) in (1, 200):
                killed |= {pid for pid in kit.workers()[:1] if kit.kill(pid)}
        self.assertGreater(len(killed), 0)
        np.testing.assert_array_equal(np.concatenate(got), want)

    def test_the_plan_holds(self):
        model = cross()
        plan, one = model.plan(2), model.plan(1)
        self.assertGreater(plan["total_bytes"], one["total_bytes"])
        with self.assertRaises(vecmill.DoesNotFitError):
            cross(memory=one["total_bytes"] // 4).predict(pairs(3), parallel=1)


class FastEmbeds(kit.Case):
    """FastEmbed 0.9.1's names, order, defaults, laziness and errors."""

    def test_signatures(self):
        empty = inspect.Parameter.empty
        for call, want in [
                (TextCrossEncoder, [("model_name", empty), ("cache_dir", None), ("threads", None), ("providers", None),
                                    ("cuda", vecmill.Device.AUTO), ("device_ids", None), ("lazy_load", False)]),
                (TextCrossEncoder.rerank, [("self", empty), ("query", empty), ("documents", empty), ("batch_size", 64)]),
                (TextCrossEncoder.rerank_pairs, [("self", empty), ("pairs", empty), ("batch_size", 64),
                                                 ("parallel", None)]),
                (TextCrossEncoder.token_count, [("self", empty), ("pairs", empty), ("batch_size", 1024)])]:
            found = [(p.name, p.default) for p in inspect.signature(call).parameters.values()
                     if p.kind is p.POSITIONAL_OR_KEYWORD]
            self.assertEqual(found, want)

    def test_scores_in_order(self):
        model, given = text_cross(), pairs(150)
        want = cross(raw_scores=True).predict(given).tolist()
        found = model.rerank_pairs(given)
        self.assertTrue(inspect.isgenerator(found))
        scores = list(found)
        self.assertEqual((scores, {type(score) for score in scores}), (want, {float}))
        for n, parallel in ((1, None), (64, 2), (1, 0)):
            self.assertEqual(list(model.rerank_pairs(iter(given), batch_size=n, parallel=parallel)), want)
        self.assertEqual(list(model.rerank_pairs(given[3])), want[3:4])
        query, documents = "which one", [text for _, text in given]
        by = list(model.rerank_pairs([(query, text) for text in documents]))
        for call in (model.rerank(query, documents), model.rerank(query, iter(documents), 10),
                     model.rerank(query, documents, parallel=1)):
            self.assertEqual(list(call), by)
        self.assertEqual(list(model.rerank(query, documents[2])), by[2:3])

        async def all_of():
            return [score async for score in model.arerank_pairs(given, parallel=1)]
        self.assertEqual(asyncio.run(all_of()), want)
        self.assertEqual(list(text_cross("cross3").rerank_pairs(given[:4])),
                         cross("cross3", raw_scores=True).predict(given[:4])[:, 0].tolist())

    def test_lazy(self):
        read = []

        def source():
            for pair in pairs(400):
                read.append(pair)
                yield pair
        found = text_cross().rerank_pairs(source(), batch_size=8)
        self.assertEqual(read, [])
        next(found)
        self.assertEqual(len(read), 8)
        found.close()
        few = text_cross(lazy_load=True)
        self.assertEqual(few.token_count([("a", "b"), ("a", "b c")]), few.token_count(("a", "b")) * 2 + 1)
        self.assertEqual(few.token_count(("a ", "b " * 900)), 64)

    def test_models(self):
        listed = {m["model"]: m for m in TextCrossEncoder.list_supported_models()}
        self.assertEqual(set(listed["BAAI/bge-reranker-base"]), {"model", "sources", "model_file", "description", "license",
                                                                 "size_in_GB", "additional_files"})
        TextCrossEncoder._custom_models.clear()
        self.addCleanup(TextCrossEncoder._custom_models.clear)
        TextCrossEncoder.add_custom_model("Test/cross", ModelSource(hf="test/cross"))
        model = TextCrossEncoder("test/cross", specific_model_path=kit.model("cross"))
        self.assertEqual(list(model.rerank_pairs(("a", "b"))), list(text_cross().rerank_pairs(("a", "b"))))
        for words, call in [
                ("already registered", lambda: TextCrossEncoder.add_custom_model("TEST/CROSS", ModelSource(hf="x/y"))),
                ("not supported in TextCrossEncoder", lambda: TextCrossEncoder("no/such")),
                ("no/such/folder", lambda: TextCrossEncoder("test/cross", specific_model_path="/no/such/folder")),
                ("not found|offline|could not", lambda: TextCrossEncoder("test/cross", local_files_only=True)),
                ("Provider CUDA", lambda: text_cross(cuda=True)),
                ("batch_size", lambda: next(model.rerank("a", ["b"], batch_size=0))),
                ("batch_size", lambda: next(model.rerank_pairs([("a", "b")], batch_size=0))),
                ("makes? no|score", lambda: TextCrossEncoder(kit.model("toy")))]:
            with self.subTest(words), self.assertRaisesRegex(ValueError, f"(?i){words}"):
                call()
        for call in (lambda: list(model.rerank(3, ["a"])), lambda: list(model.rerank("a", [3])),
                     lambda: list(model.rerank_pairs(["a b"])), lambda: list(model.rerank_pairs(("a", None))),
                     lambda: text_cross(no_such=3)):
            with self.assertRaises(TypeError):
                call()


if __name__ == "__main__":
    kit.main()
