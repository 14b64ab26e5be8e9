"""Arrow in, Arrow out: what vecmill.spark and vecmill.ray have in common.

Record batches go in one after the other and come out in slices of at most SLICE rows. Rows keep their order and their
columns, which are not copied. After them comes a list<float32> with the vector and, if asked for, a string that says
why there is none. A row without text has no vector; that is not a failure.

One pool computes all batches, across their borders: while it has room the next batch is read, so that workers wait
only for the engine. The batches that are held are bounded by the pool's queue, and their bytes are part of its memory
plan. The first batch exists when the pool is opened, and is counted with this process. The plan has room for as much
again and for the slices on their way out. A batch that is larger than planned is refused by name when it does not fit.

Knows neither Spark nor Ray. Needs pyarrow, which is not installed with vecmill.
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]

from vecmill import _core, _programs, _share
from vecmill._model import count_of, dimensions_of
from vecmill._errors import DocumentError, DoesNotFitError, UsageError
from vecmill._stream import PIECE_CHARS, PIECE_TEXTS, Feed

SLICE = 512  # rows that leave together: 768 KiB for all-MiniLM-L6-v2
SLICES = 3  # one is filled, one is the consumer's, and one is a copy on its way into a socket

# Arrays are read and made by their buffers and builders. pyarrow's to_numpy() and pa.array() would import pandas where
# that is installed, which takes 22 MiB and half a second in every process.

VECTOR = pa.list_(pa.field("element", pa.float32(), nullable=False))


@dataclass(frozen=True)
class Job:
    """A request, as it is sent to where it is computed. The options are those of vecmill.Embedder."""

    text_col: str
    output_col: str
    error_col: str | None
    model: str
    cache_dir: str | None
    local_files_only: bool
    precision: str
    max_length: int | None
    long: str
    batch_tokens: int | None
    isa: str | None
    dimensions: int | None = None
    normalize: str = "auto"
    prompt: str | None = None
    prompt_name: str | None = None
    role: str = "auto"
    task: str | None = None

    def __post_init__(self) -> None:
        for name in ("text_col", "output_col"):
            if not isinstance(getattr(self, name), str):
                raise UsageError(f"{name} is {getattr(self, name)!r}, not the name of a column")
        if not isinstance(self.error_col, str | None):
            raise UsageError(f"error_col is {self.error_col!r}, neither the name of a column nor None")
        for name in ("prompt", "prompt_name", "task"):
            if not isinstance(getattr(self, name), str | None):
                raise UsageError(f"{name} is {getattr(self, name)!r}, neither a str nor None")
        if self.prompt is not None and self.prompt_name is not None:
            raise UsageError("prompt and prompt_name exclude each other")
        for name, words in (("precision", ("auto", "fp32", "bf16", "int8")), ("long", ("truncate", "error", "split")),
                            ("isa", (None, "ref", "avx2", "avx512")), ("normalize", ("auto", "yes", "no")),
                            ("role", ("auto", "document", "query"))):
            if getattr(self, name) not in words:
                raise UsageError(f"{name} is {getattr(self, name)!r}; it is one of {words}")
        count_of("batch_tokens", self.batch_tokens, _core.MAX_BATCH_TOKENS)
        count_of("max_length", self.max_length, 1 << 30)
        dimensions_of(self.dimensions)

    def folder(self) -> str:
        """The model's folder. A missing model is fetched: of several processes one fetches it and the others wait."""
        return _programs.folder(self.model, self.cache_dir, self.local_files_only)

    def options(self, folder: str) -> dict[str, Any]:
        """The arguments of _core.Pool."""
        return {
            "model_dir": _programs.native(folder), "cache_dir": _programs.native(_programs.absolute(self.cache_dir)),
            "worker_path": _programs.native(_programs.WORKER), "isa": self.isa,
            "precision": "fp32" if self.precision == "auto" else self.precision, "long": self.long,
            "batch_tokens": self.batch_tokens or 0, "max_length": self.max_length or 0,
            "dimensions": self.dimensions or 0, "normalize": self.normalize,
            "prompt": self.prompt, "prompt_name": self.prompt_name, "role": self.role, "task": self.task,
        }

    @property
    def cut(self) -> int:
        """Bytes of a text that are passed on: the library cuts or refuses a text that is longer."""
        return 1 + (_core.DOCUMENT_BYTES if self.long == "split" else _core.TEXT_BYTES)

    def beside(self, batch_bytes: int) -> dict[str, Any]:
        """What is held in addition to the pool, for its plan: a batch, a piece with one long text, and slices."""
        return {"beside_bytes": batch_bytes + PIECE_CHARS + self.cut, "beside_rows": SLICES * SLICE}


def check_columns(names: Iterable[str], job: Job) -> None:
    """Refuses a text column that is missing, and new columns that exist, regardless of case as in Spark's SQL."""
    there = list(names)
    if job.text_col not in there:
        raise UsageError(f"there is no column {job.text_col!r} to embed among {there}")
    taken = {name.lower() for name in there}
    for what, name in (("output_col", job.output_col), ("error_col", job.error_col)):
        if name is not None and name.lower() in taken:
            raise UsageError(f"{what} is {name!r}, and there is a column of that name already")
        taken.add((name or "").lower())


def check_type(kind: pa.DataType, job: Job) -> None:
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        raise UsageError(f"column {job.text_col!r} is {kind}, not text")


class Slice:
    """Rows start to end of a batch, whose vectors are awaited."""

    def __init__(self, batch: pa.RecordBatch, there: np.ndarray, start: int, first: int):
        self.batch = batch.slice(start, SLICE)
        self.there = there[start:start + SLICE]  # bool: the row has a text
        self.first = first + start  # its first row's index among all rows
        self.most = int(np.count_nonzero(self.there))
        self.filled = 0
        self.rows: np.ndarray | None = None  # allocated when its turn comes
        self.failures: dict[int, str] = {}  # by index among its texts

    def fail(self, place: int, reason: str, job: Job) -> None:
        if job.error_col is None:
            raise DocumentError(self.first + int(np.flatnonzero(self.there)[place]), reason)
        self.failures[place] = reason

    def finish(self, job: Job) -> pa.RecordBatch:
        """The slice with its new columns."""
        rows = np.empty((0, 0), np.float32) if self.rows is None else self.rows
        reasons: list[str | None] = [None] * self.batch.num_rows
        there = self.there
        if self.failures:
            there, places = there.copy(), np.flatnonzero(there)
            for place, reason in self.failures.items():
                there[places[place]] = False
                reasons[places[place]] = reason
            rows = np.delete(rows, list(self.failures), axis=0)
        ends = np.zeros(len(there) + 1, np.int32)
        np.cumsum(there, out=ends[1:])
        ends *= rows.shape[1]
        values = pa.Array.from_buffers(pa.float32(), rows.size, [None, pa.py_buffer(rows.data)])
        valid = None if there.all() else pa.py_buffer(np.packbits(there, bitorder="little"))
        vectors = pa.Array.from_buffers(VECTOR, len(there), [valid, pa.py_buffer(ends)], children=[values])
        schema, columns = self.batch.schema, [*self.batch.columns, vectors]
        schema = schema.append(pa.field(job.output_col, VECTOR))
        if job.error_col is not None:
            schema = schema.append(pa.field(job.error_col, pa.string()))
            builder = pa.lib.StringBuilder()
            builder.append_values(reasons)
            columns.append(builder.finish())
        return pa.RecordBatch.from_arrays(columns, schema=schema)


def _bools(column: pa.Array) -> np.ndarray:
    bits = np.frombuffer(column.buffers()[1], np.uint8)
    return np.unpackbits(bits, bitorder="little")[column.offset:column.offset + len(column)].astype(bool)


def _lengths(column: pa.Array) -> np.ndarray:
    """Lengths of the values of a large_binary column without nulls."""
    if not len(column):
        return np.zeros(0, np.int64)
    return np.diff(np.frombuffer(column.buffers()[1], np.int64)[column.offset:column.offset + len(column) + 1])


def _pieces(batches: Iterable[pa.RecordBatch], slices: collections.deque[Slice], job: Job,
            look: Callable[[pa.RecordBatch], None]) -> Iterator[list[bytes]]:
    """Yields the texts of all batches as UTF-8, a few at a time; an empty list for a batch without texts. A batch's
    slices are put on the deque before its first texts are yielded."""
    n_rows = 0
    for batch in batches:
        look(batch)
        check_type(batch.schema.field(job.text_col).type, job)
        column = batch.column(job.text_col).cast(pa.large_binary())
        there = _bools(column.is_valid())
        slices.extend(Slice(batch, there, start, n_rows) for start in range(0, batch.num_rows, SLICE))
        n_rows += batch.num_rows
        if column.null_count:
            column = column.drop_null()
        ends = np.cumsum(np.minimum(_lengths(column), job.cut))
        start = done = 0
        while start < len(column):
            end = int(np.searchsorted(ends, done + PIECE_CHARS)) + 1
            end = min(end, start + PIECE_TEXTS, len(column))
            yield [text.as_buffer()[:job.cut].to_pybytes() for text in column[start:end]]
            start, done = end, int(ends[end - 1])
        if not len(column):
            yield []  # its rows may leave after those before them


def embed(batches: Iterable[pa.RecordBatch], pool: _core.Pool, job: Job,
          look: Callable[[pa.RecordBatch], None]) -> Iterator[pa.RecordBatch]:
    """Submits to an empty pool and takes from it. The pool is empty again at the end, unless this is stopped before.

    look: called with each batch before the batch is used
    """
    dim = int(pool.describe()["dim"])
    slices: collections.deque[Slice] = collections.deque()
    feed = Feed(pool, _pieces(batches, slices, job, look))
    while feed.more or slices:
        feed.fill()
        while slices and slices[0].filled == slices[0].most:
            yield slices.popleft().finish(job)
        if not slices:
            continue
        head = slices[0]
        if head.rows is None:
            head.rows = np.empty((head.most, dim), np.float32)
        n, failures = feed.take(head.rows, head.filled)
        for index, reason in failures:
            head.fail(head.filled + index, reason, job)
        head.filled += n


def run(batches: Iterable[pa.RecordBatch], job: Job, workers: int, share: _share.Share,
        setting: str) -> Iterator[pa.RecordBatch]:
    """Runs one task: fetches a missing model, opens a pool, embeds, and closes the pool, also after an exception.

    setting: the engine's name for the number of rows in a batch
    """
    source = iter(batches)
    first = next(source, None)
    if first is None:
        return
    pool, watch = open_pool(job, workers, share, first.nbytes, setting)
    source = itertools.chain(iter([first]), source)  # chain() releases the batch; a list would keep it
    del first  # a batch is held only while its rows are awaited
    try:
        yield from embed(source, pool, job, watch)
    finally:
        pool.close()


def open_pool(job: Job, workers: int, share: _share.Share, batch_bytes: int,
              setting: str) -> tuple[_core.Pool, _share.Watch]:
    """A pool within a share, or DoesNotFitError. batch_bytes: the size expected of each batch."""
    share = share.on(workers)
    options, beside = job.options(job.folder()), job.beside(batch_bytes)
    try:
        pool = _core.Pool(**options, **beside, workers=workers, memory_bytes=share.bytes)
    except DoesNotFitError:
        _share.refuse(options, beside, workers, share)
        raise  # a limit other than the share; the library's sentence names it
    return pool, _share.Watch(pool.plan(), share, batch_bytes, setting)
