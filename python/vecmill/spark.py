"""vecmill inside Apache Spark: a column of vectors for a column of texts.

    from vecmill import spark
    rows = spark.embed(df, "text", "embedding", "all-MiniLM-L6-v2")
    rows.write.parquet("vectors")

A task's partition streams through mapInArrow into a pool of vecmill's workers, one for each of the task's cores
(spark.task.cpus), and comes back in order, a row for each row. The model is fetched and its pack built once a node,
however many tasks begin at the same moment. A task's memory is planned before the job is made, within what the
executor leaves to the task, and again by each task. A killed worker costs a batch. After the death of a Python process
or an executor Spark computes its tasks again: each row comes once, with the same bits.

Needs pyspark and pyarrow on the driver, and vecmill, pyspark and pyarrow on the executors. docs/ENGINES.md.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pyspark import TaskContext
from pyspark.sql.types import ArrayType, CharType, FloatType, StringType, StructField, StructType, VarcharType

from vecmill import _arrow, _core, _share
from vecmill._model import bytes_of
from vecmill._errors import DoesNotFitError, UsageError
from vecmill._share import MIB, Share, mib

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
    from pyspark.sql import DataFrame

BATCH_ROWS = "spark.sql.execution.arrow.maxRecordsPerBatch"
OVERHEAD = "spark.executor.memoryOverhead"
PYTHON_MEMORY = "spark.executor.pyspark.memory"

# Measured with Spark 4.3.0 and OpenJDK 17; python/engines/test_spark.py compares them with what they are.
WORKER_BYTES = 72 * MIB  # a Python worker with NumPy, pyarrow and this package loaded, without texts
WORKER_SPACE = 480 * MIB  # the most address space of one, without its pool: RLIMIT_AS counts that
DAEMON_BYTES = 44 * MIB  # the Python process from which the workers are forked, one an executor
JVM_BYTES = 204 * MIB  # of an executor apart from its heap: classes, compiled code, GC's tables, buffers, stacks
BATCH_BYTES = 2 * MIB  # assumed size of an Arrow batch, which the driver cannot know: 10,000 texts of 200 bytes


def embed(df: DataFrame, text_col: str, output_col: str = "embedding", model: str = "all-MiniLM-L6-v2", *,
          error_col: str | None = None, precision: str = "auto", max_length: int | None = None,
          long: str = "truncate", batch_tokens: int | None = None, isa: str | None = None,
          dimensions: int | None = None, normalize: str = "auto", prompt: str | None = None,
          prompt_name: str | None = None, role: str = "auto", task: str | None = None, memory: int | str | None = None,
          cache_dir: str | os.PathLike[str] | None = None, local_files_only: bool = False) -> DataFrame:
    """Adds a column output_col of array<float> to df: the vectors of the texts in text_col, null where that is null.

    error_col: the name of one more column, a string: why a document has no vector, null where nothing failed. Without
               it such a document is a DocumentError, which fails its task and in the end the job
    memory:    the most that one task may use, bytes or "512M"; default: its part of spark.executor.pyspark.memory, or,
               if that is not set, of spark.executor.memoryOverhead less what the JVM and Python's daemon need
    cache_dir: of the executors and of the driver
    model:     as of vecmill.Embedder. An absolute path that does not exist on the driver is left to the executors,
               which are then the first to plan
    precision, max_length, long, batch_tokens, isa, dimensions, normalize, prompt, prompt_name, role, task,
    local_files_only: as of vecmill.Embedder

    Nothing is computed before an action. Raises at once: UsageError (a column that is missing, is not text, or exists
    already; an option out of range), NotFoundError, ModelError, and DoesNotFitError, which names the setting that
    would fit. From tasks Spark raises them as a PythonException with the same sentence.
    """
    job = _arrow.Job(text_col, output_col, error_col, os.fspath(model), None if cache_dir is None else
                     os.fspath(cache_dir), local_files_only, precision, max_length, long, batch_tokens, isa, dimensions,
                     normalize, prompt, prompt_name, role, task)
    _arrow.check_columns(df.columns, job)
    kind = df.schema[text_col].dataType
    if not isinstance(kind, (StringType, CharType, VarcharType)):
        raise UsageError(f"column {text_col!r} is {kind.simpleString()}, not string")
    settings = _Settings(df.sparkSession.conf.get)
    share = settings.share(bytes_of(memory))
    _check(job, settings, share)

    def partition(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return _task(batches, job, share)

    fields = [StructField(output_col, ArrayType(FloatType(), containsNull=False))]
    if error_col is not None:
        fields.append(StructField(error_col, StringType()))
    return df.mapInArrow(partition, StructType([*df.schema.fields, *fields]))


def _task(batches: Iterator[pa.RecordBatch], job: _arrow.Job, share: Share) -> Iterator[pa.RecordBatch]:
    """Computes one partition, on an executor."""
    context = TaskContext.get()
    workers = 1 if context is None else max(1, context.cpus())
    try:
        yield from _arrow.run(batches, job, workers, share, BATCH_ROWS)
    except Exception as why:
        if context is not None:
            why.add_note(f"in partition {context.partitionId()}; rows are counted from 0 within it")
        raise


def _check(job: _arrow.Job, settings: _Settings, share: Share) -> None:
    """Plans a task on the driver, so that a missing model or too small a share fails before a job is made. In local
    mode tasks run on this machine, and share its limit."""
    if os.path.isabs(job.model) and not os.path.isdir(job.model):
        settings.check_space(WORKER_SPACE)
        return
    options, beside = job.options(job.folder()), job.beside(2 * BATCH_BYTES)
    if share.times:
        _share.refuse(options, beside, settings.workers, share, WORKER_BYTES)
    settings.check_space(_share.least_space(options, beside, settings.workers, WORKER_SPACE))


class _Settings:
    """What Spark's configuration says about tasks and their memory. Settings are read by name through the session,
    which works for Spark Connect too. As in Spark, a size without a unit is in MiB."""

    def __init__(self, get: Any):
        self._get = get
        task = float(get("spark.task.cpus", "1"))
        self.workers = max(1, int(task))
        self.master = str(get("spark.master", ""))
        self.is_local = self.master == "local" or self.master.startswith("local[")
        self.cores = self._cores()
        self.slots = max(1, int(self.cores / task)) if self.cores else 0  # tasks at once; 0: only an executor knows

    def _cores(self) -> int:
        """Cores of an executor; 0 where a standalone worker decides."""
        words = re.fullmatch(r"local(-cluster)?\[([^\]]*)\]", self.master)
        told = self._get("spark.executor.cores", None)
        if self.is_local:
            first = words.group(2).split(",")[0].strip() if words else "1"
            return _core.cpus() if first == "*" else int(first)
        if told is not None:
            return int(told)
        if words:
            return int(words.group(2).split(",")[1])
        return 0 if self.master.startswith("spark:") else 1

    def _size(self, name: str, default: str | None) -> int | None:
        told = self._get(name, default)
        if told is None:
            return None
        words = re.fullmatch(r"\s*(\d+)\s*([kmgtp]?)b?\s*", str(told).lower())
        if not words:
            raise UsageError(f"{name} is {told!r}, not a size such as 512m or 2g")
        unit = words.group(2) or ("" if str(told).strip().lower().endswith("b") else "m")
        return int(words.group(1)) << {"": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50}[unit]

    def share(self, memory: int) -> Share:
        """The share of one task."""
        if memory:
            return Share(memory, "memory", 'memory="{}M"')
        if self.is_local:
            # There is no executor: tasks are threads of the driver, and share this machine's memory.
            return Share(_core.limit() or 1 << 62, "this machine's", None, self.slots)
        python = self._size(PYTHON_MEMORY, None)
        if python:
            return Share(python, PYTHON_MEMORY, PYTHON_MEMORY + "={}m", self.slots)
        less = JVM_BYTES + DAEMON_BYTES
        return Share(self._overhead() - less, OVERHEAD, OVERHEAD + "={}m", self.slots, less)

    def _overhead(self) -> int:
        """The overhead as Spark computes it for YARN and Kubernetes (ResourceProfile.calculateOverHeadMemory): the
        setting, else a part of the executor's memory, at least 384 MiB."""
        told = self._size(OVERHEAD, None)
        if told is not None:
            return told
        factor = float(self._get("spark.executor.memoryOverheadFactor", "0.1"))
        memory = self._size("spark.executor.memory", "1g") or 0
        return max(int(factor * memory) // MIB * MIB, self._size("spark.executor.minMemoryOverhead", "384m") or 0)

    def check_space(self, need: int) -> None:
        """Checks spark.executor.pyspark.memory, which is also the limit of a Python worker's address space (RLIMIT_AS),
        divided by the executor's cores, not by its tasks. If it is too low, Python dies before any of our code runs."""
        python = self._size(PYTHON_MEMORY, None)
        cores = int(self._get("spark.executor.cores", "1"))  # as Spark divides: what is set, or 1
        if not python or python // cores >= need:
            return
        raise DoesNotFitError(f"a Python worker needs {mib(need)} of address space, {PYTHON_MEMORY} of {mib(python)} "
                              f"for {cores} core{'s' if cores > 1 else ''} leaves it {mib(python // cores)}: "
                              f"{PYTHON_MEMORY}={-(-need // MIB) * cores}m would fit")
