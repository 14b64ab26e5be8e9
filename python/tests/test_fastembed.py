"""Compared with FastEmbed itself: the same vectors, the same signatures, the same errors for the same mistakes.

bench/compare/make_onnx.py makes FastEmbed's ONNX file from the same safetensors. Skipped, with the reason, where
fastembed, onnx or the real model is missing.
"""

import inspect
import json
import os
import shutil
import subprocess
import sys
import unittest

import kit
import numpy as np
import reference

import vecmill
from vecmill.rerank.cross_encoder import TextCrossEncoder

try:
    import fastembed
    import onnx  # noqa: F401
    from fastembed.rerank.cross_encoder import TextCrossEncoder as TheirCrossEncoder
    ABSENT = None
    MISSING = None if kit.REAL_MODEL else "VECMILL_TEST_MODEL does not name a model"
except ImportError as why:
    ABSENT = MISSING = f"{why}"
NAME = "sentence-transformers/all-MiniLM-L6-v2"


def onnx_folder(model=kit.REAL_MODEL, made="hidden.onnx"):
    folder = os.path.join(kit.home(), "onnx-" + made)
    if not os.path.isdir(folder):
        tool = os.path.join(kit.ROOT, "bench", "compare", "make_onnx.py")
        subprocess.run([sys.executable, tool, model, folder], check=True, stdout=subprocess.DEVNULL)
        shutil.copy(os.path.join(folder, made), os.path.join(folder, "model.onnx"))
        for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
            if os.path.exists(os.path.join(model, name)):
                shutil.copy(os.path.join(model, name), folder)
        told = os.path.join(folder, "tokenizer_config.json")
        with open(told, encoding="utf-8") as file:
            settings = {"pad_token": "[PAD]", **json.load(file)}  # FastEmbed wants its name, a toy's file has none
        with open(told, "w", encoding="utf-8") as file:
            json.dump(settings, file)
    return folder


def raised(call):
    try:
        call()
    except Exception as why:
        return why
    return None


def awkward_texts():
    return [*kit.texts(150, 12), "", " ", "a", "b " * 200, *kit.texts(20, 90, 3)]


@unittest.skipIf(MISSING, MISSING)
class Same(kit.Case):
    @classmethod
    def setUpClass(cls):
        cls.theirs = fastembed.TextEmbedding(NAME, specific_model_path=onnx_folder(), cache_dir=kit.home())
        cls.ours = vecmill.TextEmbedding(NAME, specific_model_path=kit.REAL_MODEL)
        cls.texts = [row["text"] for row in reference.rows()]

    def test_vectors(self):
        theirs = list(self.theirs.embed(self.texts, batch_size=8))
        n_few = min(100, len(self.texts))
        for n, how in ((len(self.texts), {}), (n_few, {"parallel": 2, "batch_size": 8})):
            ours = list(self.ours.embed(self.texts[:n], **how))
            self.assertEqual(len(ours), n)
            theirs = theirs[:n]
            self.assertEqual({(a.dtype, a.shape) for a in ours}, {(a.dtype, a.shape) for a in theirs})
            cosines = [float(np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b)) for a, b in zip(ours, theirs, strict=True)]
            largest = max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))
            print(f"{len(ours)} texts, least cosine {min(cosines):.9f}, largest difference {largest:.2e}")
            self.assertGreaterEqual(min(cosines), 0.99999)

    def test_token_count(self):
        for texts in (self.texts[:100], "one two three", [""]):
            self.assertEqual(self.ours.token_count(texts), self.theirs.token_count(texts))

    def test_sizes(self):
        self.assertEqual(self.ours.embedding_size, self.theirs.embedding_size)
        self.assertEqual(vecmill.TextEmbedding.get_embedding_size(NAME),
                         fastembed.TextEmbedding.get_embedding_size(NAME))
        theirs = {m["model"]: m for m in fastembed.TextEmbedding.list_supported_models()}
        for m in vecmill.TextEmbedding.list_supported_models():
            known = {name.lower(): dims for name, dims in ((n, d["dim"]) for n, d in theirs.items())}
            if m["model"].lower() in known:
                self.assertEqual(m["dim"], known[m["model"].lower()], m["model"])
            self.assertEqual(set(m), set(theirs[NAME]))

    def test_signatures(self):
        """Every positional argument of FastEmbed has the same position and default here."""
        for name in ("__init__", "embed", "query_embed", "passage_embed", "token_count", "list_supported_models",
                     "get_embedding_size", "add_custom_model"):
            theirs = inspect.signature(getattr(fastembed.TextEmbedding, name)).parameters
            ours = inspect.signature(getattr(vecmill.TextEmbedding, name)).parameters
            for (a, p), (b, q) in zip(theirs.items(), ours.items(), strict=False):
                if p.kind is inspect.Parameter.VAR_KEYWORD:
                    break
                self.assertEqual(a, b, name)
                if a != "model_file": # an ONNX file there
                    self.assertEqual(getattr(p.default, "value", p.default), getattr(q.default, "value", q.default),
                                     (name, a))

    def test_mistakes(self):
        def both(mistake):
            raised = []
            for package, model in ((fastembed, self.theirs), (vecmill, self.ours)):
                try:
                    mistake(package.TextEmbedding, model)
                    raised.append(None)
                except Exception as why:
                    raised.append(why)
            theirs, ours = raised
            self.assertIsNotNone(theirs)
            self.assertIsInstance(ours, type(theirs))
        both(lambda cls, model: cls("no/such"))
        both(lambda cls, model: cls.get_embedding_size("no/such"))
        both(lambda cls, model: next(iter(model.embed(["x"], batch_size=0))))
        both(lambda cls, model: list(model.embed([3])))
        both(lambda cls, model: list(model.embed(None)))
        both(lambda cls, model: list(model.embed(["x", None])))
        both(lambda cls, model: list(model.embed(b"xy")))
        both(lambda cls, model: list(model.query_embed(3)))
        both(lambda cls, model: cls("BAAI/bge-small-en-v1.5", local_files_only=True, cache_dir=kit.home()))
        folder = onnx_folder()
        both(lambda cls, model: cls(NAME, providers=["NoSuchProvider"], specific_model_path=kit.REAL_MODEL
                                    if cls is vecmill.TextEmbedding else folder))

    def test_tokenizers(self):
        theirs, ours = self.theirs.model, self.ours.model
        self.assertEqual((theirs.tokenizer.truncation, theirs.tokenizer.padding),
                         (ours.tokenizer.truncation, ours.tokenizer.padding))
        for texts in (["a", "b c d", ""], ["x " * 700, "y"], self.texts[:50]):
            for a, b in ((theirs.tokenizer.encode_batch(texts), ours.tokenizer.encode_batch(texts)),
                         (theirs.tokenize(texts), ours.tokenize(texts))):
                for one, other in zip(a, b, strict=True):
                    self.assertEqual((one.ids, one.attention_mask, one.type_ids, one.tokens),
                                     (other.ids, other.attention_mask, other.type_ids, other.tokens))
        self.assertEqual(theirs.special_token_to_id, ours.special_token_to_id)
        self.assertEqual(theirs.model_name, ours.model_name)
        self.assertEqual(theirs.token_count(self.texts[:9]), ours.token_count(self.texts[:9]))

    def test_what_else_its_objects_have(self):
        """FastEmbed's names that are missing here: those of ONNX, of downloads, and of other tokenizers."""
        def missing(theirs, ours):
            return {name for name in dir(theirs) if not name.startswith("_")} - set(dir(ours))
        self.assertLessEqual(missing(self.theirs, self.ours), {
            "EMBEDDINGS_REGISTRY", "METADATA_FILE", "decompress_to_cache", "download_file_from_gcs",
            "download_files_from_huggingface", "download_model", "retrieve_model_gcs"})
        tokenizers = missing(self.theirs.model.tokenizer, self.ours.model.tokenizer)
        self.assertFalse({name for name in tokenizers if name.startswith(("encode", "decode_", "enable", "no_", "get_vocab",
                                                                          "token_to", "id_to"))}, tokenizers)
        encodings = missing(self.theirs.model.tokenizer.encode("x"), self.ours.model.tokenizer.encode("x"))
        self.assertEqual(encodings, {"merge", "pad", "set_sequence_id", "truncate"})

    def test_its_classes_are_taken(self):
        from fastembed.common.model_description import ModelSource, PoolingType
        vecmill.TextEmbedding._custom_models.clear()
        vecmill.TextEmbedding.add_custom_model(model="test/mini", pooling=PoolingType.MEAN, normalization=True,
                                               sources=ModelSource(hf="test/mini"), dim=384)
        ours = vecmill.TextEmbedding("test/mini", specific_model_path=kit.REAL_MODEL,
                                     cuda=fastembed.common.types.Device.CPU)
        self.assertEqual(next(ours.embed("x")).tobytes(), next(self.ours.embed("x")).tobytes())


@unittest.skipIf(ABSENT, ABSENT)
class SamePairs(kit.Case):
    """TextCrossEncoder on the weights of a toy."""

    @classmethod
    def setUpClass(cls):
        folder = onnx_folder(kit.model("cross"), "scores.onnx")
        TheirCrossEncoder.add_custom_model("test/cross", fastembed.common.model_description.ModelSource(hf="test/cross"),
                                           model_file="model.onnx")
        cls.theirs = TheirCrossEncoder("test/cross", specific_model_path=folder, cache_dir=kit.home())
        cls.ours = TextCrossEncoder(kit.model("cross"))
        texts = awkward_texts()
        cls.pairs = list(zip(texts, reversed(texts), strict=True))

    def test_scores(self):
        theirs = list(self.theirs.rerank_pairs(self.pairs, batch_size=8))
        most = max(map(abs, theirs))
        for ours in (list(self.ours.rerank_pairs(self.pairs)), list(self.ours.rerank_pairs(self.pairs, 8, 2))):
            self.assertEqual([type(score) for score in ours], [type(score) for score in theirs])
            worst = max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) / most
            print(f"{len(ours)} pairs, largest difference {worst:.2e} of the largest logit")
            self.assertLess(worst, 1e-4)
        query, documents = self.pairs[0][0], [text for _, text in self.pairs]
        np.testing.assert_allclose(list(self.ours.rerank(query, documents)),
                                   list(self.theirs.rerank(query, documents)), atol=1e-4 * most)
        np.testing.assert_allclose(list(self.ours.rerank_pairs(self.pairs[3])),
                                   list(self.theirs.rerank_pairs(self.pairs[3])), atol=1e-4 * most)
        self.assertEqual(self.ours.token_count(self.pairs), self.theirs.token_count(self.pairs))

    def test_models(self):
        theirs = {m["model"]: m for m in TheirCrossEncoder.list_supported_models()}
        ours = {m["model"]: m for m in TextCrossEncoder.list_supported_models()}
        self.assertEqual(set(theirs) - set(ours) - {"test/cross"},
                         {"jinaai/jina-reranker-v1-tiny-en", "jinaai/jina-reranker-v1-turbo-en"})
        for name in set(theirs) & set(ours):
            self.assertEqual((set(ours[name]), ours[name]["license"]), (set(theirs[name]), theirs[name]["license"]))

    def test_mistakes(self):
        for mistake in (lambda cls, model: cls("no/such"),
                        lambda cls, model: next(iter(model.rerank("a", ["b"], batch_size=0))),
                        lambda cls, model: next(iter(model.rerank_pairs([("a", "b")], batch_size=0))),
                        lambda cls, model: list(model.rerank("a", [3])),
                        lambda cls, model: list(model.rerank_pairs([("a", 3)])),
                        lambda cls, model: list(model.rerank_pairs([("a", "b", "c")])),
                        lambda cls, model: cls("BAAI/bge-reranker-base", local_files_only=True, cache_dir=kit.home()),
                        lambda cls, model: cls.add_custom_model("BAAI/bge-reranker-base", vecmill.ModelSource(hf="a/b"))):
            theirs = raised(lambda m=mistake: m(TheirCrossEncoder, self.theirs))
            ours = raised(lambda m=mistake: m(TextCrossEncoder, self.ours))
            self.assertIsNotNone(theirs)
            self.assertIsInstance(ours, type(theirs))

    def test_its_objects(self):
        self.assertLessEqual({n for n in dir(self.theirs) if not n.startswith("_")} - set(dir(self.ours)), {
            "CROSS_ENCODER_REGISTRY", "METADATA_FILE", "decompress_to_cache", "download_file_from_gcs",
            "download_files_from_huggingface", "download_model", "retrieve_model_gcs"})


@unittest.skipIf(ABSENT, ABSENT)
class SameWeights(kit.Case):
    """SparseTextEmbedding on the weights of a toy, and BM25."""

    def close(self, ours, theirs, least):
        self.assertEqual(len(ours), len(theirs))
        largest, worst = max(float(max(row.values, default=0)) for row in theirs), 0.0
        for a, b in zip(ours, theirs, strict=True):
            if len(b.values):
                self.assertEqual((a.values.dtype, a.indices.dtype), (b.values.dtype, b.indices.dtype))
            a, b = a.as_dict(), b.as_dict()
            worst = max([worst, *(abs(a.get(i, 0) - b.get(i, 0)) for i in {*a, *b})])
        print(f"{len(ours)} texts, largest difference {worst / largest:.2e} of the largest weight")
        self.assertLess(worst / largest, least)

    def test_splade(self):
        name, texts = "prithivida/Splade_PP_en_v1", awkward_texts()
        theirs = fastembed.SparseTextEmbedding(name, cache_dir=kit.home(),
                                               specific_model_path=onnx_folder(kit.model("splade"), "tokens.onnx"))
        ours = vecmill.SparseTextEmbedding(name, specific_model_path=kit.model("splade"))
        self.close(list(ours.embed(texts)), list(theirs.embed(texts, batch_size=8)), 1e-4)
        self.close(list(ours.query_embed(texts, parallel=2, batch_size=8)), list(theirs.query_embed(texts)), 1e-4)
        self.assertEqual(ours.token_count(texts), theirs.token_count(texts))

    def test_names(self):
        for cls in "SparseTextEmbedding", "SparseEmbedding":
            theirs, ours = getattr(fastembed, cls), getattr(vecmill, cls)
            self.assertLessEqual({n for n in dir(theirs) if not n.startswith("_")} - set(dir(ours)), {
                "EMBEDDINGS_REGISTRY", "METADATA_FILE", "decompress_to_cache", "download_file_from_gcs",
                "download_files_from_huggingface", "download_model", "retrieve_model_gcs",
                "add_custom_model"})  # which raises NotImplementedError there
        theirs = {m["model"]: m for m in fastembed.SparseTextEmbedding.list_supported_models()}
        for m in vecmill.SparseTextEmbedding.list_supported_models():
            self.assertEqual(set(m), set(theirs[m["model"]]))
            self.assertEqual((m["vocab_size"], m["requires_idf"]),
                             (theirs[m["model"]]["vocab_size"], theirs[m["model"]]["requires_idf"]))

    def test_bm25(self):
        stop = {"the", "of", "a"}
        folder = os.path.join(kit.home(), "bm25")
        os.makedirs(folder, exist_ok=True)
        theirs = fastembed.SparseTextEmbedding("Qdrant/bm25", specific_model_path=folder, stopwords=stop)
        ours = vecmill.SparseTextEmbedding("Qdrant/bm25", stopwords=stop)
        texts = awkward_texts()
        self.close(list(ours.embed(texts)), list(theirs.embed(texts)), 1e-6)
        self.close(list(ours.query_embed(texts)), list(theirs.query_embed(texts)), 1e-6)


if __name__ == "__main__":
    kit.main()
