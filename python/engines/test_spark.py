"""Inside the real Spark, with executors in processes of their own: every row once and the command line's bits,
whichever process is killed; and what does not fit is refused on the driver."""

import os
import re
import sys
import unittest

import engine_kit as ek
import kit
import numpy as np
import pyarrow.parquet

os.environ["PYSPARK_PYTHON"] = sys.executable  # executors take it from here

from pyspark.errors import PySparkException  # noqa: E402
from pyspark.sql import SparkSession  # noqa: E402

import vecmill  # noqa: E402
from vecmill import spark  # noqa: E402
from vecmill._share import MIB  # noqa: E402

SETTINGS = {"spark.ui.enabled": "false", "spark.executor.memoryOverhead": "512m", "spark.log.level": "OFF",
            "spark.local.dir": kit.home(), "spark.worker.dir": os.path.join(kit.home(), "work"),
            "spark.sql.files.maxPartitionBytes": "16k", "spark.sql.files.openCostInBytes": "16k",  # a task a file
            "spark.sql.warehouse.dir": os.path.join(kit.home(), "warehouse"), "spark.ui.showConsoleProgress": "false"}
TASKS = 10


def cluster(master="local-cluster[2,1,1024]", **more):
    builder = SparkSession.builder.master(master)
    for name, value in {**SETTINGS, **{name.replace("_", "."): value for name, value in more.items()}}.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def executors():
    return ek.find(lambda words: "CoarseGrainedExecutorBackend" in words and "java" in words.split()[0])


def pythons():
    """(daemons, workers): the workers are forked from the daemon, which has no pool."""
    daemons, workers = [], []
    for pid in ek.find(lambda words: "pyspark.daemon" in words):
        (workers if "pyspark.daemon" in ek.cmdline(ek.parent(pid)) else daemons).append(pid)
    return daemons, workers


class Cluster(ek.Case):
    """Two executors with a core and a task each."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.session = cluster()
        cls.rows = cls.session.createDataFrame(list(enumerate(cls.texts)), "id long, text string")
        cls.rows.repartition(TASKS).write.parquet(cls.path("in"))

    @classmethod
    def tearDownClass(cls):
        cls.session.stop()

    @staticmethod
    def path(name):
        return os.path.join(kit.home(), "spark-" + name)

    def job(self, name, model=None, **options):
        """Reads, embeds and writes; returns what was written."""
        source = self.session.read.parquet(self.path("in"))
        self.embedded(source, model, **options).write.mode("overwrite").parquet(self.path(name))
        return pyarrow.parquet.read_table(self.path(name))

    @staticmethod
    def embedded(rows, model=None, **options):
        return spark.embed(rows, "text", "embedding", model or ek.MODEL, **options)

    def in_the_middle(self):
        """Whether some tasks have ended, and some have not begun."""
        tracker = self.session.sparkContext.statusTracker()
        stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
        return any(stage and 2 <= stage.numCompletedTasks <= stage.numTasks - 4 for stage in stages)

    def test_whole_within_the_memory_that_was_planned(self):
        """From an empty cache: both executors begin at once, and one builds the pack. The executor and the Python
        processes, whose memory is known but not planned, are measured too."""
        cache = self.path("cache")
        def measure():
            daemons, workers = pythons()
            return {"executor": max(map(ek.anonymous, executors()), default=0),
                    "daemon": max(map(ek.anonymous, daemons), default=0),
                    "task": max(map(ek.with_its_pool, workers), default=0)}
        with ek.Peak(measure) as most:
            self.assert_whole(self.job("whole", cache_dir=cache))
        self.assertEqual(len(ek.packs(cache)), 1)
        print({name: f"{n / MIB:.1f} MiB" for name, n in most.items()}, end=" ", flush=True)
        self.assertLess(most["executor"], 1024 * MIB + spark.JVM_BYTES)
        self.assertLess(most["daemon"], spark.DAEMON_BYTES)
        self.assertGreater(most["task"], 0)
        self.assertLess(most["task"], self.least())

    def least(self):
        """Bytes that a task is said to need at least."""
        with self.assertRaises(vecmill.DoesNotFitError) as caught:
            self.embedded(self.rows, memory="1M")
        words = re.search(r'need [\d.]+ MiB, a task\'s share is 1\.0 MiB .*memory="(\d+)M" would fit',
                          str(caught.exception))
        return int(words.group(1)) * MIB

    def test_an_executor_is_killed(self):
        with ek.Killer(executors, self.in_the_middle) as killer:
            table = self.job("executor")
        self.assertNotIn(killer.killed, executors())
        self.assert_whole(table)

    def test_a_python_worker_is_killed(self):
        with ek.Killer(lambda: pythons()[1], self.in_the_middle) as killer:
            table = self.job("python")
        self.assertNotIn(killer.killed, pythons()[1])
        self.assert_whole(table)

    def test_memory_that_is_too_small(self):
        """The value that the sentence names is enough."""
        self.assertEqual(self.embedded(self.rows.limit(50), memory=self.least()).count(), 50)

    def test_columns(self):
        rows = self.session.createDataFrame([(1, "a", [1, 2]), (2, None, None), (3, "w " * 500, [])],
                                            "id int, text string, others array<int>")
        made = spark.embed(rows, "text", "embedding", ek.MODEL, long="error", error_col="why")
        self.assertEqual(made.schema.simpleString(), "struct<id:int,text:string,others:array<int>,"
                                                     "embedding:array<float>,why:string>")
        found = {row.id: row for row in made.collect()}
        self.assertEqual([found[i].others for i in (1, 2, 3)], [[1, 2], None, []])
        self.assertEqual([found[i].embedding is None for i in (1, 2, 3)], [False, True, True])
        self.assertEqual([found[i].why is None for i in (1, 2, 3)], [True, True, False])
        self.assertEqual(len(found[1].embedding), self.want.shape[1])

    def test_a_prompt(self):
        rows = self.session.createDataFrame([(i, text) for i, text in enumerate(self.texts[:8])], "id int, text string")
        found = self.embedded(rows, prompt="query: ").orderBy("id").collect()
        want = vecmill.Embedder(ek.MODEL, prompt="query: ").embed([row.text for row in found])
        self.assertEqual(np.array([row.embedding for row in found], np.float32).tobytes(), want.tobytes())

    def test_a_document_that_fails_its_job(self):
        rows = self.session.createDataFrame([(1, "a"), (2, "w " * 500)], "id int, text string").coalesce(1)
        words = r"(?s)DocumentError: document 1: .* more tokens than .*in partition"
        with self.assertRaisesRegex(PySparkException, words):
            self.embedded(rows, long="error").collect()

    def test_what_is_refused_at_once(self):
        for words, call in (
            ("there is no column 'txt'", lambda: spark.embed(self.rows, "txt", model=ek.MODEL)),
            ("output_col is 'ID'", lambda: spark.embed(self.rows, "text", "ID", ek.MODEL)),
            ("column 'id' is bigint, not string", lambda: spark.embed(self.rows, "id", model=ek.MODEL)),
            ("role is 'both'", lambda: self.embedded(self.rows, role="both")),
            ("no prompt of the model is called", lambda: self.embedded(self.rows, prompt_name="none")),
            ("no model is called 'none'", lambda: self.embedded(self.rows, "none", local_files_only=True)),
            ("no-such/model", lambda: self.embedded(self.rows, "no-such/model", local_files_only=True)),
        ):
            with self.subTest(words), self.assertRaisesRegex(vecmill.VecmillError, words):
                call()


class TooSmall(kit.Case):
    """An executor with too little memory is reported on the driver, with the setting that is enough, and that setting is
    tried. The kernel enforces it where it is Spark's limit of address space."""

    # In this order: the JVM keeps the settings of a process's first session for later sessions.

    def test_memory_overhead(self):
        self.enough("spark.executor.memoryOverhead", "200m")

    def test_python_memory(self):
        self.enough("spark.executor.pyspark.memory", "256m")

    def enough(self, name, value):
        texts = ek.texts(400)
        rows = list(enumerate(texts))
        session = cluster("local-cluster[1,1,1024]", **{name: value})
        try:
            with self.assertRaises(vecmill.DoesNotFitError) as caught:
                spark.embed(session.createDataFrame(rows, "id long, text string"), "text", model=ek.MODEL)
            self.assertIn(name, str(caught.exception))
            print(caught.exception, end=" ", flush=True)
            enough = re.search(rf"{name}=(\d+m) would fit", str(caught.exception)).group(1)
        finally:
            session.stop()
        session = cluster("local-cluster[1,1,1024]", **{name: enough})
        try:
            made = spark.embed(session.createDataFrame(rows, "id long, text string"), "text", model=ek.MODEL)
            table = made.orderBy("id").toArrow()
        finally:
            session.stop()
        self.assertEqual(ek.vectors(table["embedding"]).tobytes(), ek.command_line(texts).tobytes())


class Settings(unittest.TestCase):
    """The share that Spark's configuration gives; needs no Spark."""

    def share(self, memory=0, **more):
        settings = {"spark.master": "yarn"}
        settings.update({"spark." + name.replace("__", "."): value for name, value in more.items()})
        return spark._Settings(lambda name, default=None: settings.get(name, default)).share(memory)

    def test_shares(self):
        less = spark.JVM_BYTES + spark.DAEMON_BYTES
        for want, times, more in (
            (384 * MIB - less, 1, {}),
            (1638 * MIB - less, 4, {"executor__memory": "16g", "executor__cores": "4"}),
            (1024 * MIB - less, 2, {"executor__memoryOverhead": "1g", "executor__cores": "4", "task__cpus": "2"}),
            (1024 * MIB - less, 8, {"executor__memoryOverhead": "1024", "executor__cores": "8"}),
            (2048 * MIB - less, 1, {"executor__memory": "4096m", "executor__memoryOverheadFactor": "0.5"}),
            (768 * MIB, 4, {"executor__pyspark__memory": "768m", "executor__cores": "4"}),
            (512 * MIB - less, 3, {"master": "local-cluster[2,3,1024]", "executor__memoryOverhead": "512m"}),
            (512 * MIB - less, 0, {"master": "spark://host:7077", "executor__memoryOverhead": "512m"}),
            (77, 1, {"memory": 77}),
            (1 * MIB - less, 1, {"executor__memoryOverhead": "1m"}),
        ):
            with self.subTest(more):
                made = self.share(**more)
                self.assertEqual((made.whole, made.times), (want, times))
        self.assertEqual(self.share(master="local[3]").times, 3)
        self.assertEqual(self.share(master="local").times, 1)
        self.assertGreaterEqual(self.share(master="local[*]").times, 1)

    def test_a_size_that_is_none(self):
        with self.assertRaisesRegex(vecmill.UsageError, "spark.executor.memoryOverhead is 'much'"):
            self.share(executor__memoryOverhead="much")


if __name__ == "__main__":
    ek.main()
