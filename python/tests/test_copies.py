"""Models that are copied, pickled, and sent to other processes; and how they depend on their process: its working
folder, its children, its session."""

import concurrent.futures
import copy
import importlib.util
import json
import multiprocessing
import os
import pickle
import shutil
import sys
import unittest

import kit
import numpy as np

import vecmill
from vecmill import ModelSource, TextEmbedding, _programs

TEXTS = ["one", "two words", ""]
OWN = "import harness, kit; import vecmill; from vecmill import TextEmbedding, Embedder\n"


def custom(**more):
    TextEmbedding._custom_models.clear()
    TextEmbedding.add_custom_model("test/toy", "CLS", False, ModelSource(hf="test/toy"), 32)
    return TextEmbedding("test/toy", **({"specific_model_path": kit.model("toy")} | more))


def embedded(model):
    return np.stack(list(model.embed(TEXTS)))


def forgetful(model):
    """In a process in which no custom model is registered."""
    TextEmbedding._custom_models.clear()
    return embedded(model), model.model.facts["max_length"], model.embedding_size


class Copies(kit.Case):
    WAYS = (("pickle", lambda m: pickle.loads(pickle.dumps(m))), ("deepcopy", copy.deepcopy), ("copy", copy.copy),
            ("protocol 2", lambda m: pickle.loads(pickle.dumps(m, 2))),
            ("twice", lambda m: pickle.loads(pickle.dumps(copy.deepcopy(m)))))

    def test_every_kind(self):
        choices = {"threads": 2, "max_length": 16, "dimensions": 9, "normalize": "no"}
        for lazy in (True, False):
            for m in (custom(lazy_load=lazy, **choices),
                      vecmill.Embedder(kit.model("toy"), long="split", precision="bf16", batch_tokens=64,
                                       memory="1G", lazy_load=lazy, **choices)):
                for used in (False, True):
                    want = embedded(m) if used else None
                    for name, way in self.WAYS:
                        made = way(m)
                        self.assertIs(type(made), type(m))
                        np.testing.assert_array_equal(embedded(made), embedded(m) if want is None else want, name)
                        inner, first = getattr(made, "model", made), getattr(m, "model", m)
                        self.assertEqual(inner.facts, first.facts)
                        self.assertEqual(inner._memory, first._memory)

    def test_a_copy_holds_no_weights_and_opens_nothing(self):
        m = custom()
        embedded(m)
        data = pickle.dumps(m)
        self.assertLess(len(data), 4000)
        made = pickle.loads(data)
        self.assertIsNone(made.model._session)
        del made

    def test_a_copy_is_its_own(self):
        e = vecmill.Embedder(kit.model("toy"))
        made = copy.copy(e)
        made.tokenizer.enable_truncation(8)
        self.assertEqual((made.facts["max_length"], e.facts["max_length"]), (8, 64))
        made.tag = "mine"
        self.assertEqual(pickle.loads(pickle.dumps(made)).tag, "mine")
        self.assertEqual(copy.deepcopy(made).facts["max_length"], 8)

    def test_a_subclass(self):
        made = pickle.loads(pickle.dumps(Shouting(kit.model("toy"), lazy_load=True)))
        self.assertEqual((type(made), made.tag), (Shouting, "loud"))
        self.assertEqual(made.embed("x").shape, (1, 32))

    def test_a_pickle_of_another_form(self):
        state = vecmill.Embedder(kit.model("toy")).__getstate__()
        made = vecmill.Embedder.__new__(vecmill.Embedder)
        with self.assertRaisesRegex(vecmill.UsageError, "pickled by vecmill 9.9.9 in form 7, .* reads form 1: make it anew"):
            made.__setstate__({**state, "_pickled": (7, "9.9.9")})
        with self.assertRaisesRegex(vecmill.UsageError, "pickled by vecmill another version"):
            made.__setstate__({"model_dir": "/x"})

    def test_errors(self):
        for why in (vecmill.DocumentError(3, "long"), vecmill.UsageError("x"), vecmill.DoesNotFitError("y")):
            again = pickle.loads(pickle.dumps(why))
            self.assertEqual((type(again), str(again)), (type(why), str(why)))

    def test_encodings(self):
        e = vecmill.Embedder(kit.model("toy"))
        tokenizer = pickle.loads(pickle.dumps(e.tokenizer))
        self.assertEqual(tokenizer.encode("one two").ids, e.tokenizer.encode("one two").ids)
        self.assertEqual(copy.deepcopy(e.tokenizer.encode("one")).tokens, e.tokenizer.encode("one").tokens)


class Shouting(vecmill.Embedder):
    tag = "quiet"

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.tag = "loud"


class Processes(kit.Case):
    def test_other_processes(self):
        m = custom(max_length=16, dimensions=8)
        want = embedded(m)
        for start in ("spawn", "forkserver", "fork"):
            with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context(start)) as pool:
                got, length, size = pool.submit(forgetful, m).result(kit.DEADLINE)
            np.testing.assert_array_equal(got, want, start)
            self.assertEqual((length, size), (16, 8))

    def test_a_folder_that_is_not_there(self):
        """As on another machine: a model with a name is looked up again, a custom folder in the cache is made again."""
        m = custom()
        want, data = embedded(m), pickle.dumps(m)
        shutil.rmtree(os.path.dirname(m.model.model_dir))
        np.testing.assert_array_equal(embedded(pickle.loads(data)), want)
        gone = os.path.join(kit.home(), "gone")
        shutil.copytree(kit.model("toy"), gone)
        data = pickle.dumps(vecmill.Embedder(gone))
        shutil.rmtree(gone)
        with self.assertRaises(vecmill.NotFoundError):
            pickle.loads(data).embed("x")

    @unittest.skipIf(importlib.util.find_spec("cloudpickle") is None, "cloudpickle is not installed")
    def test_cloudpickle(self):
        import cloudpickle
        m = custom()
        made = pickle.loads(cloudpickle.dumps(lambda: embedded(m)))
        np.testing.assert_array_equal(made(), embedded(m))

    def test_children_that_nobody_can_wait_for(self):
        """SIGCHLD ignored, or a thread that waits for all children: the programs' exit codes are lost."""
        ways = ("import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n",
                "import os, threading, time\n"
                "def wait():\n"
                "    while True:\n"
                "        try: os.waitpid(-1, 0)\n"
                "        except ChildProcessError: time.sleep(0.0005)\n"
                "threading.Thread(target=wait, daemon=True).start()\n")
        calls = ("import vecmill\n"
                 "for call in (lambda: vecmill.TextEmbedding('BAAI/bge-small-en-v1.5'), lambda: vecmill.Embedder('no/such'),\n"
                 "             lambda: vecmill.Embedder('what?')):\n"
                 "    try: call()\n"
                 "    except Exception as why: print(type(why).__name__, why)\n"
                 f"print(vecmill.Embedder({kit.model('toy')!r}).embed('x').shape)\n"
                 f"print(len(list(vecmill.Embedder({kit.model('toy')!r}).stream(['x', 'y'], workers=1))))\n")
        want = kit.end(kit.script(calls))[0]
        self.assertEqual([line.split()[0] for line in want.splitlines()[:2]], ["NotFoundError"] * 2, want)
        for way in ways:
            self.assertEqual(kit.end(kit.script(way + calls))[0], want)


class Places(kit.Case):
    """Folders: of the cache, of the model."""

    def there(self, name):
        folder = os.path.join(kit.home(), name)
        os.makedirs(folder, exist_ok=True)
        return folder

    def test_a_relative_cache(self):
        """The path is resolved when the model is made; a later working folder does not matter."""
        work, elsewhere, home = self.there("work"), self.there("elsewhere"), os.getcwd()
        shutil.copytree(kit.model("toy"), os.path.join(work, "mine"))
        calls = (lambda: vecmill.Embedder("./mine", cache_dir="c1", lazy_load=True),
                 lambda: custom(specific_model_path="./mine", cache_dir="c2", lazy_load=True),
                 lambda: vecmill.Embedder(os.path.join(work, "mine"), lazy_load=True))
        given = os.environ["VECMILL_CACHE"]
        try:
            os.chdir(work)
            os.environ["VECMILL_CACHE"] = "c3"
            made = [call() for call in calls]
            os.chdir(elsewhere)
            for m in made:
                for again in (m, pickle.loads(pickle.dumps(m)), copy.deepcopy(m)):
                    self.assertEqual(len(list(again.embed(TEXTS))), 3)
            self.assertEqual(len(list(made[0].stream(TEXTS, workers=1))), 3)
        finally:
            os.chdir(home)
            os.environ["VECMILL_CACHE"] = given
        self.assertEqual(os.listdir(elsewhere), [])
        self.assertTrue({"c1", "c2", "c3"} <= set(os.listdir(work)), os.listdir(work))

    def test_a_folder_that_is_no_model(self):
        """The message names the folder that was given, and the cache is unchanged."""
        def empty(folder):
            os.mkdir(folder)

        def without(*names):
            def make(folder):
                shutil.copytree(kit.model("toy"), folder)
                for name in names:
                    os.unlink(os.path.join(folder, name))
            return make

        def cut(name):
            def make(folder):
                shutil.copytree(kit.model("toy"), folder)
                os.truncate(os.path.join(folder, name), 20)
            return make
        for i, make in enumerate((empty, without("config.json"), without("model.safetensors"), cut("config.json"),
                                  cut("model.safetensors"), without("tokenizer.json", "vocab.txt"),
                                  without("tokenizer_config.json"), without("config.json", "tokenizer_config.json"))):
            folder, cache = os.path.join(kit.home(), f"bad-{i}"), os.path.join(kit.home(), f"cache-{i}", "below")
            make(folder)
            with self.assertRaises(vecmill.VecmillError) as raised:
                custom(specific_model_path=folder, cache_dir=cache)
            self.assertIsInstance(raised.exception, (vecmill.ModelError, vecmill.NotFoundError))
            self.assertIn(folder, str(raised.exception))
            self.assertNotIn("custom", str(raised.exception))
            self.assertFalse(os.path.exists(os.path.join(cache, "custom")), raised.exception)

    def test_a_folder_that_becomes_none(self):
        folder = os.path.join(kit.home(), "spoilt")
        shutil.copytree(kit.model("toy"), folder)
        lazy = custom(specific_model_path=folder, lazy_load=True)
        os.truncate(os.path.join(folder, "model.safetensors"), 30)
        for call in (lambda: custom(specific_model_path=folder), lambda: embedded(lazy), lambda: lazy.plan(1),
                     lambda: list(lazy.embed(iter(TEXTS), parallel=1)), lambda: embedded(pickle.loads(pickle.dumps(lazy)))):
            with self.assertRaises(vecmill.ModelError) as raised:
                call()
            self.assertIn(folder, str(raised.exception))
            self.assertNotIn("custom", str(raised.exception))

    def test_an_encoder_in_a_folder_of_its_own(self):
        """The layout of older models of sentence-transformers (modules.json: 0_Transformer)."""
        folder = os.path.join(kit.home(), "inside")
        shutil.copytree(kit.model("toy"), os.path.join(folder, "0_Transformer"))
        shutil.rmtree(os.path.join(folder, "0_Transformer", "1_Pooling"))
        shutil.copytree(os.path.join(kit.model("toy"), "1_Pooling"), os.path.join(folder, "1_Pooling"))
        with open(os.path.join(folder, "0_Transformer", "modules.json"), encoding="utf-8") as file:
            modules = json.load(file)
        os.unlink(os.path.join(folder, "0_Transformer", "modules.json"))
        modules[0]["path"] = "0_Transformer"
        with open(os.path.join(folder, "modules.json"), "w", encoding="utf-8") as file:
            json.dump(modules, file)
        np.testing.assert_array_equal(embedded(custom(specific_model_path=folder)), embedded(custom()))
        e = vecmill.Embedder(folder)
        np.testing.assert_array_equal(e.embed(TEXTS), vecmill.Embedder(kit.model("toy")).embed(TEXTS))
        self.assertEqual(e.tokenizer.decode(e.tokenize("the of")), "the of")

    def test_a_folder_of_fastembeds(self):
        folder = os.path.join(kit.home(), "onnx-alone")
        shutil.copytree(kit.model("toy"), folder)
        os.rename(os.path.join(folder, "model.safetensors"), os.path.join(folder, "model.onnx"))
        with self.assertRaisesRegex(vecmill.ModelError, folder + ".* holds ONNX files, and vecmill reads safetensors or pytorch_model.bin"):
            custom(specific_model_path=folder)
        with self.assertRaisesRegex(vecmill.NotFoundError, "no-such-folder"):
            custom(specific_model_path="no-such-folder")

    def test_names_that_are_no_utf8(self):
        odd = os.path.join(kit.home(), os.fsdecode(b"caf\xe9"))
        shutil.copytree(kit.model("toy"), odd)
        cache = os.path.join(kit.home(), os.fsdecode(b"cach\xe9"))
        want = vecmill.Embedder(kit.model("toy")).embed(TEXTS).tobytes()
        e = vecmill.Embedder(odd, cache_dir=cache)
        self.assertEqual(e.embed(TEXTS).tobytes(), want)
        self.assertEqual(np.stack(list(e.stream(TEXTS, workers=1))).tobytes(), want)
        self.assertTrue(e.facts["pack_path"].startswith(cache))
        self.assertEqual(vecmill.Embedder(os.fsencode(odd)).embed(TEXTS).tobytes(), want)
        os.unlink(os.path.join(odd, "config.json"))
        with self.assertRaisesRegex(vecmill.ModelError, "config.json is missing"):
            vecmill.Embedder(odd, cache_dir=cache)


class Sessions(kit.Case):
    def test_workers_need_none(self):
        """Work in workers uses no working memory and no threads of this process."""
        def threads():
            return len(os.listdir("/proc/self/task"))
        before = threads()
        for m in (custom(threads=8), custom(threads=8, lazy_load=True)):
            found = m.embed(iter(TEXTS * 20), parallel=1)
            next(found)
            self.assertIsNone(m.model._session)
            self.assertLess(threads(), before + 8)
            list(found)
            self.assertIsNone(m.model._session)
        embedded(m)
        self.assertIsNotNone(m.model._session)

    def test_a_model_that_was_changed(self):
        """An object does not use another model that has replaced its own, in this process or in workers."""
        for used in (False, True):
            folder = os.path.join(kit.home(), f"changed-{used}")
            shutil.copytree(kit.model("toy"), folder)
            e = vecmill.Embedder(folder)
            if used:
                want = e.embed(TEXTS).tobytes()
            other = kit.toy(folder + "-other", *kit.crew_kit.options("toy"), "--seed", "7")
            shutil.copy(os.path.join(other, "model.safetensors"), folder)
            for workers in (1,) if used else (None, 1):
                with self.assertRaisesRegex(vecmill.ModelError, "changed meanwhile"):
                    list(e.stream(TEXTS, workers=workers))
            if used:
                self.assertEqual(e.embed(TEXTS).tobytes(), want)

    def test_what_is_wrong_is_seen_when_it_is_made(self):
        with self.assertRaises(vecmill.UsageError):
            custom(dimensions=33)
        lazy = custom(dimensions=33, lazy_load=True)
        with self.assertRaises(vecmill.UsageError):
            embedded(lazy)


if __name__ == "__main__":
    sys.setswitchinterval(0.005)
    kit.main()
