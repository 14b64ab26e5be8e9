"""vecmill inside Ray Data: a column of vectors for a column of texts.

    import vecmill.ray
    rows = vecmill.ray.embed(ds, "text", "embedding", "all-MiniLM-L6-v2", concurrency=4)
    rows.write_parquet("vectors")

The second line is short for

    options = {"text_col": "text", "output_col": "embedding", "model": "all-MiniLM-L6-v2"}
    ds.map_batches(vecmill.ray.Embedder, batch_format="pyarrow", batch_size=512, fn_constructor_kwargs=options,
                   compute=ray.data.ActorPoolStrategy(size=4), **vecmill.ray.Embedder.resources("all-MiniLM-L6-v2"))

An actor has a pool of vecmill's workers, one for each of its processors, for as long as it lives. Its memory is
planned; the plan is declared to Ray's scheduler, and the pool stays within it. A killed worker costs a batch of a
quarter of a second. Ray starts a killed actor again and recomputes its batches: each row comes once, with the same
bits.

Needs ray[data] and pyarrow, and vecmill on every node. docs/ENGINES.md.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import ray
import ray.data
from ray.data.dataset import MaterializedDataset

from vecmill import _arrow, _core, _share
from vecmill._model import bytes_of, count_of
from vecmill._errors import UsageError
from vecmill._share import MIB, Share

if TYPE_CHECKING:
    from ray.data import Dataset

BATCH_ROWS = 512  # for each processor: five seconds of a small model, long compared with the pause between two

# Measured with Ray 2.60.0; python/engines/test_ray.py compares it with what it is.
ACTOR_BYTES = 128 * MIB  # an actor's process with Ray Data, pyarrow and this package loaded
BATCH_BYTES = 4 * MIB  # assumed size of a batch, which is not known before: 512 texts of 8 KiB


class Embedder:
    """For ray.data.Dataset.map_batches, with batch_format="pyarrow".

    text_col:   the column to embed, string
    output_col: the column that is added, list<float32>; null where the text is null
    error_col:  the name of one more column, a string: why a document has no vector, null where nothing failed. Without
                it such a document is a DocumentError, which fails the job
    cpus:       worker processes; default: the processors that Ray has assigned to the actor
    memory:     the most that the actor may use, bytes or "512M"; default: the memory that Ray has assigned to it,
                if any was declared
    model, precision, max_length, long, batch_tokens, isa, dimensions, normalize, prompt, prompt_name, role, task,
    cache_dir, local_files_only: as of vecmill.Embedder

    Errors: as of vecmill.spark.embed, when the actor is made, or at its first batch.
    """

    def __init__(self, text_col: str, output_col: str = "embedding", model: str = "all-MiniLM-L6-v2", *,
                 error_col: str | None = None, cpus: int | None = None, memory: int | str | None = None,
                 **options: Any):
        self._job = _job(text_col, output_col, model, error_col, **options)
        assigned = _assigned()
        self._workers = count_of("cpus", cpus, _core.MAX_WORKERS) or max(1, int(assigned.get("CPU", 1)))
        self._share = _share_of(bytes_of(memory) or int(assigned.get("memory", 0)))
        self._pool: _core.Pool | None = None
        self._open()

    def _open(self) -> _core.Pool:
        if self._pool is None:
            self._pool, self._watch = _arrow.open_pool(self._job, self._workers, self._share, _held(), "batch_size")
        return self._pool

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Yields the batch in slices, each row with its vector."""
        _arrow.check_columns(batch.column_names, self._job)
        pool, self._pool = self._open(), None  # a pool that still has documents in it cannot be reused
        try:
            for part in _arrow.embed(batch.to_batches(), pool, self._job, self._watch):
                yield pa.Table.from_batches([part])
            self._pool = pool
        finally:
            if self._pool is None:
                pool.close()

    @staticmethod
    def resources(model: str = "all-MiniLM-L6-v2", *, cpus: int = 1, memory: int | str | None = None,
                  **options: Any) -> dict[str, Any]:
        """What an actor declares to Ray's scheduler: num_cpus, and memory in bytes by the plan. Options: those of the
        constructor that memory depends on. memory: another value than the plan's; when it is too small, DoesNotFitError
        names what would fit."""
        job = _job("text", "embedding", model, None, **options)
        workers = count_of("cpus", cpus, _core.MAX_WORKERS)
        if not workers:
            raise UsageError("cpus is 0; an actor needs at least 1")
        words, beside = job.options(job.folder()), job.beside(_held())
        told = bytes_of(memory)
        if told:
            _share.refuse(words, beside, workers, _share_of(told), ACTOR_BYTES)
            return {"num_cpus": workers, "memory": told}
        plan = _core.plan(**words, **beside, workers=workers)
        return {"num_cpus": workers, "memory": _share.bytes_of_plan(plan, ACTOR_BYTES)}


def embed(ds: Dataset, text_col: str, output_col: str = "embedding", model: str = "all-MiniLM-L6-v2", *,
          error_col: str | None = None, concurrency: int | tuple[int, int] = 1, cpus: int = 1,
          batch_size: int | None = None, memory: int | str | None = None, **options: Any) -> Dataset:
    """Adds a column output_col of list<float32> to ds: the vectors of the texts in text_col.

    concurrency: number of actors, or (least, most); Ray needs one more processor for tasks that read and write
    cpus:        processors of each actor, and workers in it
    batch_size:  rows of a call, and of the blocks that the actors get; default: 512 for each processor
    memory:      of each actor; default: by the plan
    others:      as of Embedder

    Nothing is computed before the dataset is consumed. Errors, at once: UsageError, NotFoundError, ModelError,
    DoesNotFitError.
    """
    job = _job(text_col, output_col, model, error_col, **options)
    schema = ds.schema(fetch_if_missing=False)
    if schema is not None:
        _arrow.check_columns(schema.names, job)
    least, most = concurrency if isinstance(concurrency, tuple) else (concurrency, concurrency)
    compute = ray.data.ActorPoolStrategy(min_size=least, max_size=most)
    size = batch_size or BATCH_ROWS * cpus
    if not isinstance(ds, MaterializedDataset) or ds.num_blocks() < most:
        # A whole block goes to one actor, and Ray reads small files into one block.
        ds = ds.repartition(target_num_rows_per_block=size)
    _warn_of_starvation(most * cpus)
    made: Dataset = ds.map_batches(
        Embedder, batch_format="pyarrow", batch_size=size, compute=compute,
        fn_constructor_kwargs={"text_col": text_col, "output_col": output_col, "model": model, "error_col": error_col,
                               **options},
        **Embedder.resources(model, cpus=cpus, memory=memory, **options))
    return made


def _warn_of_starvation(taken: int) -> None:
    """Warns when the actors leave no processor: they keep theirs for as long as the dataset is computed, and Ray
    waits silently and without end for one to run a task that reads or writes."""
    if not ray.is_initialized():
        return
    there = int(ray.cluster_resources().get("CPU", 0))  # type: ignore[no-untyped-call]
    if 0 < there <= taken:
        warnings.warn(f"the actors take {taken} processors and Ray has {there}: tasks that read or write would "
                      "get none and wait for ever; fewer actors (concurrency) would leave them one", stacklevel=3)


def _job(text_col: str, output_col: str, model: str, error_col: str | None, *, precision: str = "auto",
         max_length: int | None = None, long: str = "truncate", batch_tokens: int | None = None,
         isa: str | None = None, dimensions: int | None = None, normalize: str = "auto",
         prompt: str | None = None, prompt_name: str | None = None, role: str = "auto", task: str | None = None,
         cache_dir: str | os.PathLike[str] | None = None, local_files_only: bool = False) -> _arrow.Job:
    return _arrow.Job(text_col, output_col, error_col, os.fspath(model), None if cache_dir is None else
                      os.fspath(cache_dir), local_files_only, precision, max_length, long, batch_tokens, isa,
                      dimensions, normalize, prompt, prompt_name, role, task)


def _share_of(memory: int) -> Share:
    if memory:
        return Share(memory, "memory", 'memory="{}M"')
    return Share(_core.limit() or 1 << 62, "this machine's", None)


def _held() -> int:
    """Bytes of batches in addition to the pool: the one that is read, and the results that Ray gathers until they fill
    a block, with its copy of that block."""
    block = ray.data.DataContext.get_current().target_max_block_size or 0
    return BATCH_BYTES + 2 * int(block)


def _assigned() -> dict[str, float]:
    """The resources that Ray has assigned to this actor; empty outside an actor."""
    if not ray.is_initialized():
        return {}
    context = ray.get_runtime_context()
    if context.get_actor_id() is None:
        return {}
    told: dict[str, float] = context.get_assigned_resources()  # type: ignore[no-untyped-call]
    return told
