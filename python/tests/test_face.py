"""FastEmbed's interface: signatures, laziness, order, types, registry, and the errors for mistakes."""

import collections
import contextlib
import copy
import inspect
import io
import json
import os
import pathlib
import pickle
import shutil
import subprocess
import sys
import unittest
import warnings
from unittest import mock

import kit
import numpy as np
import reference

import vecmill
from vecmill import Device, ModelSource, PoolingType, TextEmbedding, text_embedding
from vecmill.text_embedding import max_context

NAME = "sentence-transformers/all-MiniLM-L6-v2"


def model(**more):
    TextEmbedding._custom_models.clear()
    TextEmbedding.add_custom_model("test/toy", PoolingType.MEAN, True, ModelSource(hf="test/toy"), 32)
    return TextEmbedding("test/toy", **({"specific_model_path": kit.model("toy")} | more))


def with_tasks():
    """A model with tasks, whose tokens are letters."""
    folder = os.path.join(kit.home(), "tasks")
    if not os.path.isdir(folder):
        subprocess.run([sys.executable, os.path.join(kit.ROOT, "tools", "write_family.py"),
                        os.path.join(kit.ROOT, "tests", "data", "families", "jina-v3-tasks.json"), folder], check=True)
        with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8") as file:
            file.write("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrst", *(
                "##" + letter for letter in "abcdefghijklmnopqrst")]))
    return folder


class Multitask(kit.Case):
    """Of jina-embeddings-v3: the one for passages, the one for queries in query_embed(), others by their number."""

    texts = ["a tale of a hare", "", "seeds"]

    def setUp(self):
        super().setUp()
        there = mock.patch.dict(text_embedding._TASKS_OF, {"test/tasks": ("query", "passage", "match")})
        there.start()
        self.addCleanup(there.stop)
        TextEmbedding._custom_models.clear()
        TextEmbedding.add_custom_model("test/tasks", PoolingType.MEAN, True, ModelSource(hf="test/tasks"), 36)
        self.model = TextEmbedding("test/tasks", specific_model_path=with_tasks(), max_length=64)

    def want(self, task):
        rows = vecmill.Embedder(with_tasks(), prompt="", task=task, max_length=64, normalize="yes").embed(self.texts)
        return [row.tobytes() for row in rows]

    def test_each_has_its_own(self):
        ways = {"query": [self.model.query_embed, lambda texts: self.model.embed(texts, task_id=0)],
                "passage": [self.model.embed, self.model.passage_embed, self.model.model.stream],
                "match": [lambda texts: self.model.embed(texts, task_id=2, parallel=1, batch_size=1)]}
        self.assertEqual(len({tuple(self.want(task)) for task in ways}), 3)
        for model in (self.model, pickle.loads(pickle.dumps(self.model)), copy.deepcopy(self.model)):
            self.model = model
            for task, calls in ways.items():
                for call in calls:
                    self.assertEqual([row.tobytes() for row in call(self.texts)], self.want(task), task)

    def test_what_is_refused(self):
        for task in (3, -1, True, "query"):
            with self.assertRaisesRegex(vecmill.UsageError, "0 \\(query\\), 1 \\(passage\\)"):
                list(self.model.embed("a", task_id=task))
        with self.assertRaisesRegex(vecmill.UsageError, "has no tasks"):
            list(model().embed("a", task_id=0))
        with self.assertRaisesRegex(vecmill.UnsupportedError, "has the one for queries"):
            list(self.model.model.query_embed("a"))


class Signatures(kit.Case):
    """FastEmbed 0.9.1's names, order and defaults; a test against FastEmbed itself is test_fastembed.py."""

    def test_constructor(self):
        parameters = list(inspect.signature(TextEmbedding).parameters.values())
        self.assertEqual([(p.name, p.default) for p in parameters[:7]], [
            ("model_name", "BAAI/bge-small-en-v1.5"), ("cache_dir", None), ("threads", None), ("providers", None),
            ("cuda", Device.AUTO), ("device_ids", None), ("lazy_load", False)])

    def test_embed(self):
        parameters = list(inspect.signature(TextEmbedding.embed).parameters.values())
        self.assertEqual([(p.name, p.default) for p in parameters[1:4]], [
            ("documents", inspect.Parameter.empty), ("batch_size", 256), ("parallel", None)])


class Embedding(kit.Case):
    def test_a_generator_in_order(self):
        m, texts = model(), kit.texts(100)
        found = m.embed(texts)
        self.assertTrue(inspect.isgenerator(found))
        rows = list(found)
        self.assertEqual({(type(row), row.dtype.name, row.shape) for row in rows}, {(np.ndarray, "float32", (32,))})
        for i in (0, 37, 99):
            self.assertEqual(next(iter(m.embed(texts[i]))).tobytes(), rows[i].tobytes())
        norms = np.linalg.norm(np.stack(rows), axis=1)
        self.assertLess(float(np.abs(norms - 1).max()), 1e-6)

    def test_nothing_happens_before_it_is_iterated(self):
        touched = []
        model().embed(touched.append(i) or "x" for i in range(3))
        self.assertEqual(touched, [])

    def test_the_same_bytes_whatever_the_batch_the_threads_and_the_processes(self):
        texts = kit.texts(300)
        want = np.stack(list(model(threads=1).embed(texts))).tobytes()
        for how in ({"batch_size": 1}, {"batch_size": 7}, {"parallel": 1, "batch_size": 8},
                    {"parallel": 2, "batch_size": 8}, {"parallel": 0, "batch_size": 300}):
            self.assertEqual(np.stack(list(model(threads=3).embed(texts, **how))).tobytes(), want, how)
            self.assertEqual(np.stack(list(model().embed(iter(texts), **how))).tobytes(), want, how)

    def test_few_documents_start_no_process(self):
        m = model()
        found = m.embed(kit.texts(10), parallel=2)
        next(found)
        self.assertEqual(kit.workers(), [])
        found = m.embed(iter(kit.texts(10)), parallel=2)
        next(found)
        self.assertEqual(len(kit.workers()) > 0, True)
        found.close()

    def test_documents_like_any_other(self):
        rows = list(model().embed(["", "  ", "a\0b", "\U0001f600", "x" * 3_000_000]))
        self.assertEqual(len(rows), 5)
        self.assertTrue(all(np.isfinite(row).all() for row in rows))
        self.assertEqual(list(model().embed([])), [])

    def test_a_very_long_document_in_workers(self):
        texts = ["word " * 5_000_000, "short"]
        inside = list(model().embed(texts))
        outside = list(model().embed(texts, batch_size=1, parallel=1))
        self.assertEqual([row.tobytes() for row in inside], [row.tobytes() for row in outside])

    def test_query_and_passage(self):
        m = model()
        want = [row.tobytes() for row in m.embed(["one", "two"])]
        self.assertEqual([row.tobytes() for row in m.query_embed("one")], want[:1])
        self.assertEqual([row.tobytes() for row in m.query_embed(["one", "two"])], want)
        self.assertEqual([row.tobytes() for row in m.passage_embed(["one", "two"], batch_size=1)], want)

    def test_token_count(self):
        m = model()
        self.assertEqual(m.token_count("the of and"), 5)
        self.assertEqual(m.token_count(["the of and", ""]), 7)
        self.assertEqual(m.token_count(["the " * 1000]), m.model.facts["max_length"])

    def test_progress(self):
        """A bar where tqdm is installed; it counts what was delivered."""
        try:
            import tqdm  # noqa: F401
        except ImportError:
            self.skipTest("tqdm is not installed")
        with contextlib.redirect_stderr(io.StringIO()) as said:
            list(model().embed(["a", "b", "c"], progress=True))
        self.assertIn("3/3", said.getvalue())

    def test_other_precisions(self):
        want = np.stack(list(model().embed(kit.texts(20))))
        for precision, least in (("fp32", 1.0), ("bf16", 0.999), ("int8", 0.98)):
            got = np.stack(list(model(precision=precision).embed(kit.texts(20))))
            self.assertGreaterEqual(float((want * got).sum(axis=1).min()), least - 1e-6, precision)


class Mistakes(kit.Case):
    def test_unknown_model(self):
        with self.assertRaisesRegex(ValueError, "Model no/such is not supported in TextEmbedding"):
            TextEmbedding("no/such")

    def test_a_model_that_is_not_here(self):
        with self.assertRaises(ValueError) as raised:
            TextEmbedding("BAAI/bge-small-en-v1.5", local_files_only=True)
        self.assertIsInstance(raised.exception, vecmill.NotFoundError)

    def test_a_folder_that_is_not_there(self):
        with self.assertRaises(vecmill.NotFoundError):
            TextEmbedding(NAME, specific_model_path="/nowhere")

    def test_batch_size(self):
        m = model()
        for how in ({"batch_size": 0}, {"parallel": -1, "batch_size": 1}):
            found = m.embed(["x"], **how)
            with self.assertRaises(ValueError):
                next(found)
        with self.assertRaises(ValueError):
            m.token_count(["x"], batch_size=0)

    def test_containers_of_no_texts(self):
        """Refused with advice on what to pass: an iterable's keys, names and lines are not the documents."""
        class Frame:  # looks like a table of pandas, polars or Arrow
            columns = ("id", "text", "other")

            def __iter__(self):
                return iter(self.columns)

        class Rows:
            column_names = ("id", "body")

        async def later():
            yield "x"

        folder = kit.home()
        with open(os.path.join(folder, "lines.txt"), "w+", encoding="utf-8") as file:
            for given, words in (
                    ({"a": "x"}, r"documents is dict, .*list\(documents.values\(\)\)"),
                    (collections.OrderedDict(a="x"), "OrderedDict"), (collections.UserDict(a="x"), "UserDict"),
                    (collections.ChainMap({"a": "x"}), "ChainMap"), (os.environ, "values"),
                    (b"bytes", "decode"), (bytearray(b"bytes"), "decode"), (memoryview(b"x"), "decode"),
                    (Frame(), r"documents\['text'\]; it has 'id', 'text', 'other'"), (Rows(), r"documents\['body'\]"),
                    (file, "splitlines"), (io.StringIO("x"), "splitlines"), (io.BytesIO(b"x"), "splitlines"),
                    (pathlib.Path(folder), "read_text"), (later(), "async for"), (later, r"documents\(\)"),
                    (np.zeros(3), "float64"), (np.array([[1, 2]]), "int64"), (np.array("x"), "one value"),
                    (np.array([["x", "y"]]), "2 dimensions"), (str, "type"), (5, "pass texts"), (None, "NoneType")):
                for call in (lambda m, d: list(m.embed(d)), lambda m, d: list(m.embed(d, parallel=1)),
                             lambda m, d: list(m.passage_embed(d)), lambda m, d: m.token_count(d),
                             lambda m, d: m.model.embed(d), lambda m, d: m.model.tokenize(d)):
                    with self.assertRaisesRegex(TypeError, words, msg=given):
                        call(model(), given)

    def test_documents_that_are_no_texts(self):
        class Page:
            page_content = "x"
        for given, words in ((None, r"leave it out, or pass ''"), (float("nan"), "leave it out"), (b"x", "decode"),
                             ({"text": "x"}, r"document\['text'\]"), ({"n": 1}, "the text in it"), (Page(), "document.page_content"),
                             (["x"], "one flat list"), (("x", "y"), "one flat list"), (np.array(["x"]), "one flat list"),
                             (pathlib.Path("x"), "read_text"), (3, r"str\(document\)"), (np.float32(1), r"str\(document\)"), (True, r"str\(document\)")):
            for texts in (["x", given], iter(["x", given]), ("x", given)):
                with self.assertRaisesRegex(TypeError, "document 1 is .*, not str: .*" + words, msg=given):
                    list(model().embed(texts))
        with self.assertRaisesRegex(TypeError, "document 3 is NoneType"):
            list(model().embed(["a", "b", "c", None], parallel=1, batch_size=1))

    def test_containers_of_texts(self):
        """As with FastEmbed, a str is one document everywhere, and any iterable of str is read."""
        m, texts = model(), ["one", "two"]
        want = [row.tobytes() for row in m.embed(texts)]
        named = dict.fromkeys(texts)
        for given in (tuple(texts), iter(texts), (t for t in texts), named.keys(), dict(enumerate(texts)).values(),
                      collections.deque(texts), np.array(texts), np.array(texts, object), map(str, texts)):
            self.assertEqual([row.tobytes() for row in m.embed(given)], want)
        self.assertEqual({row.tobytes() for row in m.embed(set(texts))}, set(want))
        for rows in (m.embed("one"), m.passage_embed("one"), m.query_embed("one"), m.model.embed("one"),
                     m.model.stream("one", workers=1)):
            self.assertEqual([row.tobytes() for row in rows], want[:1])
        self.assertEqual(m.model.count_tokens("one"), m.token_count(["one"]))

    def test_what_is_not_text(self):
        with self.assertRaisesRegex(TypeError, "document 1 is int, not str"):
            list(model().embed(["x", 3]))
        with self.assertRaisesRegex(TypeError, "document 1 is NoneType, not str"):
            list(model().embed(iter(["x", None]), parallel=1))
        with self.assertRaises(TypeError):
            list(model().embed(None))

    def test_devices(self):
        model(providers=["CPUExecutionProvider"])
        model(cuda=False)
        model(cuda=Device.CPU)
        for how in ({"providers": ["CUDAExecutionProvider"]}, {"cuda": True}, {"cuda": Device.CUDA},
                    {"providers": [("CUDAExecutionProvider", {"device_id": 0})]}):
            with self.assertRaisesRegex(ValueError, "Provider CUDAExecutionProvider is not available"):
                model(**how)
        with self.assertWarnsRegex(UserWarning, "device_ids"):
            model(device_ids=[0])
        with self.assertWarnsRegex(UserWarning, "mutually exclusive"):
            model(cuda=True, providers=["CPUExecutionProvider"])

    def test_arguments_that_mean_nothing(self):
        for name in ("enable_cpu_mem_arena", "mmap"):
            with self.assertWarnsRegex(UserWarning, name):
                model(**{name: True})
        with self.assertRaisesRegex(TypeError, "'colour'"):
            model(colour="red")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model(local_files_only=True)

    def test_values(self):
        for how in ({"threads": -1}, {"threads": 1000}, {"precision": "fp64"}, {"memory": "much"}, {"memory": 0},
                    {"max_length": 100_000}):
            with self.assertRaises(ValueError, msg=how):
                model(**how)

    def test_memory_that_does_not_suffice(self):
        m = model(memory="1M", lazy_load=True)
        with self.assertRaises(MemoryError) as raised:
            next(m.embed(iter(["x"]), parallel=2))
        self.assertIsInstance(raised.exception, vecmill.DoesNotFitError)
        self.assertFalse(m.plan(2)["fits"])
        self.assertTrue(m.plan(2)["advice"])


class Surrogates(kit.Case):
    """Halves of surrogate pairs, which UTF-8 cannot encode. Each becomes U+FFFD, and two that meet become their
    character. The program reads the same from JSON, where they are escapes."""
    CASES = (("half \ud83d of a pair", "half \ufffd of a pair"), ("\udc00", "\ufffd"), ("\ud800\ud800x", "\ufffd\ufffdx"),
             ("a \udc00\ud83d b", "a \ufffd\ufffd b"), ("pair \ud83d\ude00", "pair \U0001f600"), ("end \ud83d", "end \ufffd"),
             (b"caf\xe9".decode("utf-8", "surrogateescape"), "caf\ufffd"))

    def test_every_way_in(self):
        m = model()
        for odd, plain in self.CASES:
            want = next(m.embed(plain)).tobytes()
            for rows in (m.embed(odd), m.embed([odd, "x"], parallel=1, batch_size=1), m.query_embed(odd), m.passage_embed([odd]),
                         m.embed(["fine", odd], on_error="skip"), m.model.stream([odd], workers=1)):
                self.assertIn(want, [row.tobytes() for row in rows], ascii(odd))
            self.assertEqual(m.model.tokenize(odd), m.model.tokenize(plain))
            self.assertEqual(m.token_count(["x", odd]), m.token_count(["x", plain]))
            self.assertEqual(m.model.tokenizer.encode(odd).ids, m.model.tokenizer.encode(plain).ids)

    def test_as_the_program(self):
        folder, lines = kit.model("toy"), os.path.join(kit.home(), "odd.jsonl")
        with open(lines, "w", encoding="ascii") as file:
            file.writelines(json.dumps(odd) + "\n" for odd, _ in self.CASES)
        out = lines.replace("jsonl", "npy")
        subprocess.run([vecmill._programs.PROGRAM, "embed", "-m", folder, "-i", lines, "-o", out, "--progress", "none"], check=True)
        np.testing.assert_array_equal(np.load(out), vecmill.Embedder(folder).embed([odd for odd, _ in self.CASES]))


class Dimensions(kit.Case):
    def test_cut_and_scaled(self):
        """Compared with whole vectors that NumPy cuts and scales."""
        texts = kit.texts(20)
        for normalization in (True, False):
            TextEmbedding._custom_models.clear()
            TextEmbedding.add_custom_model("test/toy", "MEAN", normalization, ModelSource(hf="test/toy"), 32)

            def rows(parallel=None, **how):
                m = TextEmbedding("test/toy", specific_model_path=kit.model("toy"), **how)
                got = np.stack(list(m.embed(texts, parallel=parallel, batch_size=4)))
                self.assertEqual((m.embedding_size, m.model.dim, m.plan(1)["dim"]), (got.shape[1],) * 3)
                return got
            whole = rows()
            for n in (1, 7, 32):
                cut = whole[:, :n]
                scaled = cut / np.linalg.norm(cut.astype(np.float64), axis=1, keepdims=True)
                np.testing.assert_array_equal(rows(dimensions=n, normalize="no"), cut)
                np.testing.assert_allclose(rows(dimensions=n, normalize="yes"), scaled, atol=1e-6)
                np.testing.assert_allclose(rows(dimensions=n), cut if n == 32 else scaled, atol=1e-6)
                np.testing.assert_array_equal(rows(1, dimensions=n), rows(dimensions=n))
        e = vecmill.Embedder(kit.model("toy"), dimensions=5, long="split", max_length=8)
        self.assertEqual(e.embed(texts).shape, (20, 5))
        for how, words in (({"dimensions": 33}, "33.*32"), ({"dimensions": 0}, "0"), ({"dimensions": -1}, "-1"),
                           ({"dimensions": "8"}, "'8'"), ({"normalize": "maybe"}, "'maybe'")):
            with self.assertRaisesRegex(ValueError, words):
                vecmill.Embedder(kit.model("toy"), **how)

    @kit.long_form("engine-reference has the whole vectors, the toys the cut, 2 s")
    @unittest.skipUnless(kit.REAL_MODEL, kit.harness.NO_REAL_MODEL)
    def test_sentence_transformers_vectors(self):
        theirs = np.load(os.path.join(reference.folder(), "minilm-l6-v2.npy"))[:24].astype(np.float64)
        texts = [row["text"] for row in reference.rows()[:24]]
        for n in (64, 256):
            want = theirs[:, :n] / np.linalg.norm(theirs[:, :n], axis=1, keepdims=True)
            got = vecmill.Embedder(kit.REAL_MODEL, dimensions=n).embed(texts)
            self.assertLess(float(np.abs(got - want).max()), 2e-6)

    def test_what_the_model_says(self):
        folder = os.path.join(kit.home(), "says")
        shutil.copytree(kit.model("toy"), folder)
        with open(os.path.join(folder, "config_sentence_transformers.json"), "w", encoding="utf-8") as file:
            json.dump({"truncate_dim": 12}, file)
        self.assertEqual(vecmill.Embedder(folder).dim, 12)
        self.assertEqual(vecmill.Embedder(folder, dimensions=32).dim, 32)
        m = model(specific_model_path=folder, lazy_load=True)
        self.assertEqual((m.embedding_size, next(m.embed("x")).shape), (12, (12,)))


class Failing(kit.Case):
    """Documents that fail one by one."""

    def embedder(self):
        return vecmill.Embedder(kit.model("toy"), long="error", max_length=16)

    def test_raise(self):
        for workers in (None, 1):
            got = []
            with self.assertRaises(vecmill.DocumentError) as raised:
                for row in self.embedder().stream(["a", "the " * 50, "b"], workers=workers):
                    got.append(row)
            self.assertEqual((len(got), raised.exception.index), (1, 1))
            self.assertIn("16", raised.exception.reason)

    def test_too_large_for_the_pool(self):
        """A document over max_document fails at its position among the others."""
        texts = ["a", "x" * (17 << 20), "b", "y" * (17 << 20)]
        rows = list(self.embedder().stream(texts, workers=1, on_error="skip"))
        self.assertEqual([bool(row.any()) for row in rows], [True, False, True, False])
        with self.assertRaises(vecmill.DocumentError) as raised:
            list(self.embedder().stream(texts, workers=1))
        self.assertEqual(raised.exception.index, 1)

    def test_skip(self):
        for workers in (None, 1):
            rows = list(self.embedder().stream(["a", "the " * 50, "b"], workers=workers, on_error="skip"))
            self.assertEqual([bool(row.any()) for row in rows], [True, False, True])


class Tasks(kit.Case):
    def test_unknown(self):
        with self.assertRaisesRegex(ValueError, "a task, query, and the model has none"):
            vecmill.Embedder(kit.model("toy"), task="query")


class Registry(kit.Case):
    def test_list(self):
        models = TextEmbedding.list_supported_models()
        by_name = {m["model"]: m for m in models}
        self.assertEqual(by_name[NAME]["dim"], 384)
        self.assertEqual(set(models[0]), {"model", "sources", "model_file", "description", "license", "size_in_GB",
                                          "additional_files", "dim", "tasks"})
        self.assertEqual(TextEmbedding.get_embedding_size(NAME.upper()), 384)
        with self.assertRaisesRegex(ValueError, "Embedding size for model no/such was None"):
            TextEmbedding.get_embedding_size("no/such")

    def test_onnx_names(self):
        """FastEmbed's names of ONNX files are those of the weights that they were made of."""
        by_name = {m["model"]: m for m in TextEmbedding.list_supported_models()}
        for name, weights in (("nomic-ai/nomic-embed-text-v1.5-Q", "nomic-ai/nomic-embed-text-v1.5"),
                              ("Qwen/Qwen3-Embedding-0.6B-Q", "Qwen/Qwen3-Embedding-0.6B"),
                              ("Qdrant/stella-en-400M-v5-doc-onnx", "NovaSearch/stella_en_400M_v5")):
            self.assertEqual(by_name[name], {**by_name[weights], "model": name})
            self.assertEqual(TextEmbedding.get_embedding_size(name.upper()), by_name[weights]["dim"])
        self.assertNotIn("Qdrant/clip-ViT-B-32-text", by_name)

    def test_fastembed_does_not_normalize_some(self):
        """Whatever the model's files say, which here scale to length 1."""
        folder = kit.toy(os.path.join(kit.home(), "model-384"), "--hidden", "384", "--pooling", "cls")
        for name, normalized in (("BAAI/bge-small-en-v1.5", True), ("ibm-granite/granite-embedding-small-english-r2", False)):
            m = TextEmbedding(name, specific_model_path=folder)
            length = float(np.linalg.norm(next(iter(m.embed(["the water"])))))
            self.assertEqual(abs(length - 1) < 1e-5, normalized, (name, length))

    def test_custom(self):
        m = model()
        self.assertEqual((m.embedding_size, TextEmbedding.get_embedding_size("test/TOY")), (32, 32))
        with self.assertRaisesRegex(ValueError, "already registered"):
            TextEmbedding.add_custom_model("TEST/toy", PoolingType.MEAN, True, ModelSource(hf="x/y"), 32)
        for pooling in (PoolingType.LAST_TOKEN, PoolingType.DISABLED):
            with self.assertRaises(ValueError):
                TextEmbedding.add_custom_model("test/other", pooling, True, ModelSource(hf="x/y"), 32)
        with self.assertRaises(ValueError):
            ModelSource()

    def test_pooling_and_normalization_are_the_callers(self):
        texts, rows = ["one two three"], {}
        for pooling in ("MEAN", "CLS"):
            for normalization in (True, False):
                TextEmbedding._custom_models.clear()
                TextEmbedding.add_custom_model("test/toy", PoolingType(pooling), normalization,
                                               ModelSource(hf="test/toy"), 32)
                m = TextEmbedding("test/toy", specific_model_path=kit.model("toy"))
                self.assertEqual((m.model.facts["pooling"], m.model.facts["normalized"]),
                                 (pooling.lower(), normalization))
                rows[pooling, normalization] = next(m.embed(texts))
        for pooling in ("MEAN", "CLS"):
            raw = rows[pooling, False]
            np.testing.assert_allclose(raw / np.linalg.norm(raw), rows[pooling, True], atol=1e-6)
        self.assertFalse(np.allclose(rows["MEAN", True], rows["CLS", True]))

    def test_fastembeds_rule_for_the_length(self):
        folder = os.path.join(kit.home(), "lengths")
        shutil.copytree(kit.model("toy"), folder)
        path = os.path.join(folder, "tokenizer_config.json")
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
        for said, want in (({"model_max_length": 32, "max_length": 16}, 16), ({"model_max_length": 32}, 32),
                           ({"model_max_length": 1e30, "max_length": 24}, 24), ({"model_max_length": 512}, 64),
                           ({"model_max_length": 0}, None), ({}, None)):
            for name in ("model_max_length", "max_length"):
                config.pop(name, None)
            with open(path, "w", encoding="utf-8") as file:
                json.dump(config | said, file)
            if want is None:
                self.assertRaisesRegex(ValueError, "Could not determine the maximum context length", max_context,
                                       folder)
            else:
                self.assertEqual(max_context(folder), want, said)


class Prompts(kit.Case):
    """Of vecmill.Embedder; the program's are in tests/e2e/e2e_embed.py."""

    TEXTS = ["a cat", "", "the other"]

    def model(self):
        folder = os.path.join(kit.home(), "prompts")
        if not os.path.isdir(folder):
            kit.toy(folder)
            with open(os.path.join(folder, "config_sentence_transformers.json"), "w", encoding="utf-8") as file:
                json.dump({"prompts": {"query": "which ", "passage": "many:"}, "default_prompt_name": "passage"}, file)
        return folder

    def test_a_prompt_is_text_before_each_text(self):
        def rows(prefix):
            return vecmill.Embedder(self.model(), prompt="").embed([prefix + text for text in self.TEXTS]).tobytes()

        for more, prefix in (({}, "many:"), ({"prompt": "x"}, "x"), ({"prompt_name": "query"}, "which "),
                             ({"role": "query"}, "which "), ({"role": "document"}, ""), ({"prompt": ""}, "")):
            e = vecmill.Embedder(self.model(), **more)
            self.assertEqual(e.facts["prompt"], prefix)
            self.assertEqual(e.embed(self.TEXTS).tobytes(), rows(prefix), more)
            pooled = np.stack(list(e.stream(self.TEXTS, workers=1)))
            self.assertEqual(pooled.tobytes(), rows(prefix), more)

    def test_what_is_refused(self):
        for more, words in (({"prompt_name": "foo"}, "there are query, document, passage"),
                            ({"prompt": "x", "prompt_name": "query"}, "a prompt and the name"),
                            ({"prompt": "x" * 5000}, "MODEL_PROMPT_MAX")):
            with self.assertRaisesRegex(vecmill.UsageError, words):
                vecmill.Embedder(self.model(), **more)
        with self.assertRaisesRegex(ValueError, "role is"):
            vecmill.Embedder(self.model(), role="passage")

    def test_fastembed_has_none(self):
        m = model(specific_model_path=self.model())
        self.assertEqual(m.model.facts["prompt"], "")


class Tables(kit.Case):
    def test_a_static_embedding(self):
        """Its own pooling, whatever is asked for; unknown tokens are left out; no token, no length."""
        folder = kit.toy(os.path.join(kit.home(), "table"), "--table", "model2vec")
        e = vecmill.Embedder(folder)
        rows = e.embed(["the cat", "\u6f22 the \u6f22 cat", "\u6f22", ""])
        self.assertEqual(rows[0].tobytes(), rows[1].tobytes())
        self.assertAlmostEqual(float(np.linalg.norm(rows[0])), 1, places=6)
        self.assertFalse(rows[2:].any())
        self.assertEqual((e.facts["layers"], e.facts["pooling"], e.tokenize("")), (0, "mean", []))
        m = model(specific_model_path=folder)
        self.assertEqual(np.stack(list(m.embed(["the cat"])))[0].tobytes(), rows[0].tobytes())


if __name__ == "__main__":
    kit.main()
