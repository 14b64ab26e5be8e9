"""Inside the real Ray Data: every row once and the command line's bits, whichever process is killed; and actors that
stay within the memory that they have declared."""

import os
import re
import sys
import warnings

import engine_kit as ek
import kit
import numpy as np
import pyarrow as pa

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import ray  # noqa: E402
import ray.data  # noqa: E402

import vecmill  # noqa: E402
import vecmill.ray  # noqa: E402
from vecmill import _arrow  # noqa: E402

MIB = 1 << 20
BLOCKS = 20


def setUpModule():
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=200 * MIB, logging_level="error",
             log_to_driver=False, _temp_dir=os.path.join(kit.home(), "r"))
    ray.data.DataContext.get_current().enable_progress_bars = False


def tearDownModule():
    ray.shutdown()


def actors():
    return ek.find(lambda words: words.startswith("ray::MapWorker(MapBatches(Embedder))"))


def gather(dataset):
    return pa.concat_tables(ray.get(dataset.to_arrow_refs()))


class Actors(ek.Case):
    """Two actors with a processor each."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        ids, texts = pa.array(range(ek.N)), pa.array(cls.texts)
        size = ek.N // BLOCKS
        cls.rows = ray.data.from_arrow([pa.table({"id": ids[at:at + size], "text": texts[at:at + size]})
                                        for at in range(0, ek.N, size)]).materialize()

    def job(self, **options):
        return vecmill.ray.embed(self.rows, "text", "embedding", ek.MODEL, concurrency=2, **options)

    def test_whole_within_the_memory_that_was_declared(self):
        """From an empty cache: both actors begin at once, and one builds the pack."""
        cache = os.path.join(kit.home(), "ray-cache")

        def measure():
            return {"actor": max(map(ek.with_its_pool, actors()), default=0)}
        with ek.Peak(measure) as most:
            self.assert_whole(gather(self.job(cache_dir=cache)))
        self.assertEqual(len(ek.packs(cache)), 1)
        declared = vecmill.ray.Embedder.resources(ek.MODEL)["memory"]
        print(f"{most['actor'] / MIB:.1f} of {declared / MIB:.1f} MiB", end=" ", flush=True)
        self.assertGreater(most["actor"], 0)
        self.assertLess(most["actor"], declared)

    def test_an_actor_is_killed(self):
        done = 0

        def found():
            nonlocal done
            for batch in self.job().iter_batches(batch_size=None, batch_format="pyarrow"):
                done += batch.num_rows
                yield batch
        with ek.Killer(actors, lambda: 0 < done < ek.N // 2) as killer:
            table = pa.concat_tables(found())
        self.assertNotIn(killer.killed, actors())
        self.assert_whole(table)

    def test_a_warning_when_nothing_is_left_to_read_and_write_with(self):
        with self.assertWarnsRegex(UserWarning, "the actors take 2 processors and Ray has 2"):
            self.job()
        with warnings.catch_warnings(action="error"):
            vecmill.ray.embed(self.rows, "text", "embedding", ek.MODEL)

    def test_map_batches_by_itself(self):
        """Without the short form, and with two workers in one actor."""
        made = self.rows.limit(1000).map_batches(
            vecmill.ray.Embedder, batch_format="pyarrow", batch_size=300, compute=ray.data.ActorPoolStrategy(size=1),
            fn_constructor_kwargs={"text_col": "text", "model": ek.MODEL, "error_col": "why"},
            **vecmill.ray.Embedder.resources(ek.MODEL, cpus=2))
        table = gather(made).sort_by("id")
        self.assertEqual(table.schema.names, ["id", "text", "embedding", "why"])
        self.assertEqual(table["why"].null_count, 1000)
        self.assertEqual(ek.vectors(table["embedding"]).tobytes(), self.want[:1000].tobytes())

    def test_rows_without_text_and_documents_that_fail(self):
        rows = ray.data.from_arrow(pa.table({"id": [1, 2, 3], "text": ["a", None, "w " * 500]}))
        made = vecmill.ray.embed(rows, "text", "v", ek.MODEL, long="error", error_col="why")
        found = {row["id"]: row for row in made.take_all()}
        self.assertEqual([found[i]["v"] is None for i in (1, 2, 3)], [False, True, True])
        self.assertEqual([found[i]["why"] is None for i in (1, 2, 3)], [True, True, False])
        with self.assertRaisesRegex(Exception, "DocumentError.*more tokens than"):
            vecmill.ray.embed(rows, "text", "v", ek.MODEL, long="error").materialize()

    def test_a_prompt(self):
        rows = self.rows.limit(20)
        made = gather(vecmill.ray.embed(rows, "text", "v", ek.MODEL, prompt="query: ").sort("id"))
        want = vecmill.Embedder(ek.MODEL, prompt="query: ").embed(made["text"].to_pylist())
        self.assertEqual(ek.vectors(made["v"]).tobytes(), want.tobytes())

    def test_memory_that_is_too_small(self):
        """The value that the sentence names is enough."""
        with self.assertRaisesRegex(vecmill.DoesNotFitError, r'memory="\d+M" would fit') as caught:
            vecmill.ray.Embedder.resources(ek.MODEL, memory="40M")
        with self.assertRaises(vecmill.DoesNotFitError):
            self.job(memory="40M")
        enough = re.search(r'memory="(\d+M)"', str(caught.exception)).group(1)
        table = gather(vecmill.ray.embed(self.rows.limit(300), "text", "v", ek.MODEL, memory=enough)).sort_by("id")
        self.assertEqual(ek.vectors(table["v"]).tobytes(), self.want[:300].tobytes())

    def test_what_is_refused_at_once(self):
        for words, call in (
            ("there is no column 'txt'", lambda: vecmill.ray.embed(self.rows, "txt", model=ek.MODEL)),
            ("output_col is 'id'", lambda: vecmill.ray.embed(self.rows, "text", "id", ek.MODEL)),
            ("cpus is -1", lambda: vecmill.ray.embed(self.rows, "text", model=ek.MODEL, cpus=-1)),
            ("cpus is 0", lambda: vecmill.ray.Embedder.resources(ek.MODEL, cpus=0)),
            ("role is 'both'", lambda: vecmill.ray.embed(self.rows, "text", model=ek.MODEL, role="both")),
            ("no prompt of the model is called", lambda: vecmill.ray.embed(self.rows, "text", model=ek.MODEL, prompt_name="none")),
            ("no model is called", lambda: vecmill.ray.embed(self.rows, "text", model="no-such-model",
                                                             local_files_only=True)),
        ):
            with self.subTest(words), self.assertRaisesRegex(vecmill.VecmillError, words):
                call()


class Outside(kit.Case):
    def test_no_actor(self):
        """The class works where Ray has assigned nothing, and a failure leaves it usable."""
        embedder = vecmill.ray.Embedder("text", model=kit.model("toy"), long="error", max_length=16, cpus=1)
        with self.assertRaises(vecmill.DocumentError):
            list(embedder(pa.table({"text": ["a", "w " * 50]})))
        table = pa.concat_tables(embedder(pa.table({"text": ["a", "b"]})))
        want = vecmill.Embedder(kit.model("toy")).embed(["a", "b"])
        self.assertEqual(np.array(table["embedding"].to_pylist(), np.float32).tobytes(), want.tobytes())
        self.assertEqual(table.schema.field("embedding").type, _arrow.VECTOR)


if __name__ == "__main__":
    sys.argv[0] = os.path.abspath(sys.argv[0])
    ek.main()
