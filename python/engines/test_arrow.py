"""Arrow in, Arrow out, without an engine: rows, types, failures, memory, and who builds the pack."""

import os
import re
import shutil
import subprocess
import sys
import time
import unittest

import engine_kit as ek
import kit
import numpy as np
import pyarrow as pa

import vecmill
from vecmill import _arrow, _core, _programs, _share
from vecmill._share import Share

ROOM = Share(1 << 30, "memory", 'memory="{}M"')


def job(**more):
    options = {"text_col": "text", "output_col": "v", "error_col": None, "model": kit.model("toy"), "cache_dir": None,
               "local_files_only": True, "precision": "auto", "max_length": None, "long": "truncate",
               "batch_tokens": None, "isa": None}
    return _arrow.Job(**{**options, **more})


def batches(texts, size, kind=None):
    return [pa.RecordBatch.from_pydict({"id": pa.array(range(at, at + len(texts[at:at + size]))),
                                        "text": pa.array(texts[at:at + size], kind or pa.string())})
            for at in range(0, len(texts), size)]


def run(source, asked=None, share=ROOM, workers=2):
    return list(_arrow.run(source, asked or job(), workers, share, "batch_size"))


class Rows(kit.Case):
    @classmethod
    def setUpClass(cls):
        cls.texts = kit.texts(3000)
        for i in (5, 2999, *range(1000, 2000)):
            cls.texts[i] = None
        embedder = vecmill.Embedder(kit.model("toy"))
        cls.want = embedder.embed([text for text in cls.texts if text is not None])

    def test_each_in_its_place(self):
        """For any size of batches and any type of text; a null text has a null vector."""
        for size in (1, 7, 512, 513, 3000):
            for kind in (pa.string(), pa.large_string(), pa.string_view()):
                with self.subTest(size=size, kind=kind):
                    made = run(batches(self.texts, size, kind))
                    self.assertLessEqual(max(part.num_rows for part in made), _arrow.SLICE)
                    for part in made:
                        part.validate(full=True)
                    whole = pa.Table.from_batches(made)
                    self.assertEqual(whole["id"].to_pylist(), list(range(3000)))
                    self.assertEqual(whole["text"].to_pylist(), self.texts)
                    there = np.array([is_ is not None for is_ in whole["v"].to_pylist()])
                    self.assertEqual(there.tolist(), [text is not None for text in self.texts])
                    self.assertEqual(ek.vectors(whole["v"].drop_null()).tobytes(), self.want.tobytes())

    def test_fewer_dimensions(self):
        """Also bytes that are not UTF-8, such as half a surrogate pair: read as U+FFFD, as in a file."""
        texts = [text for text in self.texts[:64] if text is not None]
        made = pa.Table.from_batches(run(batches(texts, 64), job(dimensions=5)))
        want = vecmill.Embedder(kit.model("toy"), dimensions=5).embed(texts)
        self.assertEqual(ek.vectors(made["v"].combine_chunks()).tobytes(), want.tobytes())
        odd = pa.array([b"half \xed\xa0\xbd of it"], pa.binary()).view(pa.string())
        made, = run([pa.RecordBatch.from_pydict({"text": odd})])
        want = vecmill.Embedder(kit.model("toy")).embed("half \ufffd\ufffd\ufffd of it")
        self.assertEqual(ek.vectors(made["v"]).tobytes(), want.tobytes())

    def test_prompts(self):
        """A prompt by its text, by its name, and by the side of a search; each is computed as an Embedder does."""
        folder = os.path.join(kit.home(), "prompted")
        shutil.copytree(kit.model("toy"), folder)
        with open(os.path.join(folder, "config_sentence_transformers.json"), "w", encoding="utf-8") as file:
            file.write('{"prompts": {"query": "who ", "other": "what "}, "default_prompt_name": "other"}')
        texts = [text for text in self.texts[:20] if text is not None]
        seen = set()
        for options in ({}, {"prompt": "who "}, {"prompt_name": "query"}, {"role": "query"}, {"role": "document"},
                        {"prompt": ""}):
            with self.subTest(options):
                made = pa.Table.from_batches(run(batches(texts, 7), job(model=folder, **options)))
                want = vecmill.Embedder(folder, **options).embed(texts)
                self.assertEqual(ek.vectors(made["v"]).tobytes(), want.tobytes())
                seen.add(want.tobytes())
        self.assertEqual(len(seen), 3)  # "what ", "who ", none
        for words, options in (("query, document, other", {"prompt_name": "none"}), ("task", {"task": "none"})):
            with self.subTest(options), self.assertRaisesRegex(vecmill.UsageError, words):
                run(batches(texts, 7), job(model=folder, **options))

    def test_other_columns_are_untouched(self):
        """Other columns are not copied: their buffers are those of the input."""
        columns = {"id": pa.array(range(4)), "text": pa.array(["a", "b", None, "d"]),
                   "deep": pa.array([{"a": [1]}, None, {"a": []}, {"a": [2, 3]}]),
                   "word": pa.array(["x", "y", "x", None]).dictionary_encode()}
        source = pa.RecordBatch.from_pydict(columns)
        made, = run([source], job(error_col="why"))
        self.assertEqual(made.schema.names, [*columns, "v", "why"])
        for name in columns:
            self.assertTrue(made[name].equals(source[name]))
            self.assertEqual(made[name].type, source[name].type)
        self.assertEqual(made["id"].buffers()[1].address, source["id"].buffers()[1].address)
        self.assertEqual(made["why"].to_pylist(), [None] * 4)

    def test_a_part_of_a_larger_batch(self):
        """Offsets into buffers count."""
        texts = [text or "" for text in self.texts[:40]]
        whole, = batches(texts, 40)
        made, = run([whole.slice(11, 9)])
        want = vecmill.Embedder(kit.model("toy")).embed(texts[11:20])
        self.assertEqual(ek.vectors(made["v"]).tobytes(), want.tobytes())

    def test_batches_without_rows_and_no_batch(self):
        self.assertEqual(run([]), [])
        empty = batches(["x"], 1)[0].slice(0, 0)
        made = run([empty, *batches(["x", None], 1), empty, *batches([None, None], 2)])
        self.assertEqual([row["v"] is None for part in made for row in part.to_pylist()], [False, True, True, True])
        self.assertEqual(sum(part.num_rows for part in made), 4)

    def test_nothing_is_read_ahead_but_what_the_queue_holds(self):
        read = 0

        def source():
            nonlocal read
            for batch in batches(kit.texts(50_000), 100):
                read += batch.num_rows
                yield batch
        found = _arrow.run(source(), job(), 1, ROOM, "batch_size")
        next(found)
        time.sleep(0.5)
        self.assertLess(read, 10_000)
        found.close()  # tearDown checks that no worker is left

    def test_a_source_that_fails(self):
        def source():
            yield from batches(kit.texts(2000), 1000)
            raise OSError("the disk is gone")
        with self.assertRaisesRegex(OSError, "the disk is gone"):
            run(source())

    def test_a_worker_is_killed(self):
        asked = job(model=kit.model("slower"))
        texts = kit.texts(900, 60)
        want = vecmill.Embedder(kit.model("slower")).embed(texts)
        found = _arrow.run(batches(texts, 100), asked, 2, ROOM, "batch_size")
        made = [next(found)]
        self.assertTrue(kit.kill(kit.workers()[0]))
        made += list(found)
        self.assertEqual(ek.vectors(pa.Table.from_batches(made)["v"]).tobytes(), want.tobytes())

    def test_pandas_stays_out(self):
        """pandas would take 22 MiB in every Python process."""
        path, folder = os.path.join(kit.home(), "some.arrow"), kit.model("toy")
        source = pa.RecordBatch.from_pydict({"text": ["a", None, "w " * 500]})
        with pa.OSFile(path, "wb") as file, pa.ipc.new_stream(file, source.schema) as stream:
            stream.write_batch(source)
        out, _ = kit.end(kit.script(
            "import sys, pyarrow as pa\nfrom vecmill import _arrow, _share\n"
            f"job = _arrow.Job('text', 'v', 'why', {folder!r}, None, True, 'auto', 16, 'error', None, None)\n"
            f"source = pa.ipc.open_stream(open({path!r}, 'rb'))\n"
            "made, = _arrow.run(source, job, 1, _share.Share(1 << 30, 'memory', None), 'rows')\n"
            "print(made['v'].null_count, made['why'].null_count, 'pandas' in sys.modules)"))
        self.assertEqual(out.split(), ["2", "2", "False"])


class Refused(kit.Case):
    def test_a_document(self):
        texts = ["a", "w " * 500, None, "b"]
        asked = job(long="error", max_length=16, error_col="why")
        made, = run(batches(texts, 4), asked)
        self.assertEqual([row["v"] is None for row in made.to_pylist()], [False, True, True, False])
        why = made["why"].to_pylist()
        self.assertEqual([word is None for word in why], [True, False, True, True])
        self.assertRegex(why[1], "more tokens than the maximum of 16")
        with self.assertRaises(vecmill.DocumentError) as caught:
            run(batches(["x", None, *texts], 3), job(long="error", max_length=16))
        self.assertEqual(caught.exception.index, 3)

    def test_a_document_larger_than_any(self):
        """Refused where it would be submitted, so in order with what the pool has."""
        huge = "x" * (_core.DOCUMENT_BYTES + 1)
        made = run(batches(["a", huge, "b"], 1), job(long="split", error_col="why"), Share(4 << 30, "memory", None))
        rows = [row for part in made for row in part.to_pylist()]
        self.assertEqual([row["v"] is None for row in rows], [False, True, False])
        self.assertRegex(rows[1]["why"], str(_core.DOCUMENT_BYTES))

    def test_columns_and_options(self):
        for words, call in (
            ("there is no column 'text' to embed among ['a']", lambda: _arrow.check_columns(["a"], job())),
            ("output_col is 'v', and there is", lambda: _arrow.check_columns(["text", "V"], job())),
            ("error_col is 'V', and there is", lambda: _arrow.check_columns(["text"], job(error_col="V"))),
            ("column 'text' is int64, not text", lambda: run([pa.RecordBatch.from_pydict({"text": [1]})])),
            ("output_col is 7", lambda: job(output_col=7)),
            ("error_col is 7", lambda: job(error_col=7)),
            ("precision is 'fp64'", lambda: job(precision="fp64")),
            ("long is 'cut'", lambda: job(long="cut")),
            ("isa is 'neon'", lambda: job(isa="neon")),
            ("batch_tokens is -1", lambda: job(batch_tokens=-1)),
            ("dimensions is 0", lambda: job(dimensions=0)),
            ("normalize is 'maybe'", lambda: job(normalize="maybe")),
            ("role is 'both'", lambda: job(role="both")),
            ("prompt is 1", lambda: job(prompt=1)),
            ("task is 1", lambda: job(task=1)),
            ("prompt and prompt_name exclude", lambda: job(prompt="", prompt_name="query")),
            ("max_length is True", lambda: job(max_length=True)),
        ):
            with self.subTest(words), self.assertRaisesRegex(vecmill.UsageError, re.escape(words)):
                call()
        with self.assertRaises(vecmill.VecmillError):
            run(batches(["a"], 1), job(model="/there/is/no/such/folder"))

    def test_memory_that_is_too_small(self):
        """The value that the sentence names does fit, and a MiB less does not."""
        small = Share(1 << 20, "memory", 'memory="{}M"')
        with self.assertRaisesRegex(vecmill.DoesNotFitError, 'memory="[0-9]+M" would fit') as caught:
            run(batches(["a"], 1), share=small)
        enough = int(re.search(r'memory="(\d+)M"', str(caught.exception)).group(1))
        for mib, fits in ((enough + 1, True), (enough - 2, False)):  # the process may have grown a little
            share = Share(mib << 20, "memory", 'memory="{}M"')
            with self.subTest(mib):
                if fits:
                    self.assertEqual(len(run(batches(["a"], 1), share=share)), 1)
                else:
                    with self.assertRaises(vecmill.DoesNotFitError):
                        run(batches(["a"], 1), share=share)

    def test_a_share_of_many_tasks(self):
        whole = Share(100 << 20, "spark.executor.memoryOverhead", "spark.executor.memoryOverhead={}m", 4, 60 << 20)
        self.assertEqual(whole.bytes, 25 << 20)
        self.assertEqual(whole.words(), "25.0 MiB (spark.executor.memoryOverhead 160.0 MiB, less 60.0 MiB of the "
                         "engine's own, for 4 tasks)")
        self.assertEqual(whole.would_fit((30 << 20) + 1), "spark.executor.memoryOverhead=181m would fit")
        self.assertEqual(Share(1 << 30, "m", None, 0).on(1).times, _core.cpus())

    def test_options_that_would_fit(self):
        """Where the share cannot grow, the sentence names smaller options."""
        with self.assertRaises(vecmill.DoesNotFitError) as caught:
            options = job(model=kit.model("toy"), batch_tokens=65536).options(kit.model("toy"))
            least = _share.least({**options, "batch_tokens": 0}, {}, 1, 64 << 20)
            _share.refuse(options, {}, 1, Share(least + (1 << 20), "memory", None), 64 << 20)
        self.assertRegex(str(caught.exception), "batch_tokens=None would fit as it is")

    def test_a_batch_larger_than_planned_for(self):
        """The plan is made with the first batch; one that is far larger is refused by name when it does not fit."""
        small, large = batches(["a"] * 8, 8), batches(["b " * 500_000] * 40, 40)
        with self.assertRaises(vecmill.DoesNotFitError) as caught:
            run(small, share=Share(1 << 20, "memory", 'memory="{}M"'))
        enough = int(re.search(r'memory="(\d+)M"', str(caught.exception)).group(1))
        with self.assertRaisesRegex(vecmill.DoesNotFitError, r"a batch of 40 rows is .*: batch_size=\d+ would fit"):
            run([*small, *large], share=Share((enough + 8) << 20, "memory", 'memory="{}M"'))
        self.assertEqual(sum(part.num_rows for part in run([*small, *large])), 48)


class Once(kit.Case):
    @unittest.skipUnless(shutil.which("strace"), "there is no strace")
    def test_the_pack_is_built_once(self):
        """Six processes begin at the same moment without a pack: one of them builds it, and the others wait."""
        cache, log, there = (os.path.join(kit.home(), name) for name in ("cold", "renames", "there"))
        os.mkdir(there)
        open_pool = (f"import os\nfrom vecmill import _core\nopen(f'{there}/{{os.getpid()}}', 'w').close()\n"
                     f"while len(os.listdir({there!r})) < 6: pass\n"
                     f"_core.Pool(model_dir={kit.model('slower')!r}, worker_path={_programs.WORKER!r}, workers=1, "
                     f"cache_dir={cache!r}).close()\nprint('open')")
        together = 'for i in 1 2 3 4 5 6; do "$0" -c "$1" & done; wait'
        ended = subprocess.run(
            ["strace", "-f", "-o", log, "-e", "trace=rename,renameat,renameat2", "sh", "-c", together, sys.executable,
             open_pool], check=True, timeout=kit.DEADLINE, capture_output=True, text=True)
        self.assertEqual(ended.stdout.split(), ["open"] * 6, ended.stderr)
        with open(log, encoding="utf-8") as file:
            self.assertEqual(len([line for line in file if ".pack" in line and line.endswith("= 0\n")]), 1)
        self.assertEqual(len(ek.packs(cache)), 1)


if __name__ == "__main__":
    ek.main()
