"""What all kinds of models share: options, the session of this process, pools, streams in order, plans, pickles.

A subclass says what a document is (_read) and what is made of it (_compute in this process, _taker in workers).
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from functools import partial
from typing import Any, Self

import numpy as np

from vecmill import _core, _documents, _programs, _stream
from vecmill._errors import DocumentError, DoesNotFitError, ModelError, UsageError, VecmillError

CHARS_A_THREAD = 1 << 14  # of one call of a session; Ctrl-C waits for that call
_STATE = 1  # the version of a pickle's members


def bytes_of(memory: int | str | None) -> int:
    """Bytes of 1536, "512M", "2G" (powers of 1,024); 0 for None."""
    if memory is None:
        return 0
    if isinstance(memory, int) and not isinstance(memory, bool):
        if memory <= 0:
            raise UsageError(f"memory is {memory} bytes; it is at least 1")
        return memory
    text = str(memory).strip().upper().removesuffix("IB").removesuffix("B")
    unit = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}.get(text[-1:], 1)
    digits = text[:-1] if unit > 1 else text
    if not digits.isdecimal() or int(digits) == 0:
        raise UsageError(f"memory is {memory!r}, not a number of bytes such as 536870912, '512M' or '2G'")
    return int(digits) * unit


# In the child of a fork() sessions are the parent's, and a thread that does not exist there may hold a lock.
_models: weakref.WeakSet[Model] = weakref.WeakSet()


def _forget_sessions() -> None:
    for model in list(_models):
        model._session, model._lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget_sessions)


def count_of(name: str, value: int | None, most: int) -> int:
    """An option that is a number from 1 to most; 0 for None, which leaves the choice to the library."""
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise UsageError(f"{name} is {value!r}; it is a number up to {most}, or None")
    return value


def dimensions_of(value: int | None) -> int:
    """Floats to keep of a vector; 0 for None, which leaves the choice to the model. The library checks the maximum."""
    if value == 0 and value is not False:
        raise UsageError("dimensions is 0; a vector has 1 at least")
    return count_of("dimensions", value, 1 << 30)


class Stream:
    """Documents in, results out, for subclasses."""

    _cut: int | None  # characters of a text that are read

    def chunks(self, texts: Iterable[Any], workers: int | None = None,
               batch_size: int = 256) -> Iterator[list[_stream.Result]]:
        """Lists of results in order (see _stream)."""
        raise NotImplementedError

    def _iterable(self, documents: Any) -> Iterable[Any]:
        """The documents of a caller, or a TypeError."""
        return _documents.texts_of(documents)

    def _read(self, index: int, given: Any) -> tuple[Any, int]:
        """One document, cut, and its characters; or a TypeError."""
        return _documents.text_of(self._cut, index, given)

    def _skipped(self) -> Any:
        """The result of a document that failed, where failures are skipped."""
        raise NotImplementedError

    def _each(self, texts: Iterable[Any], workers: int | None, batch_size: int, on_error: str,
                progress: bool) -> Iterator[Any]:
        if on_error not in ("raise", "skip"):
            raise UsageError(f"on_error is {on_error!r}; it is 'raise' or 'skip'")
        texts = self._iterable(texts)
        bar = _bar(texts) if progress else None
        chunks = self.chunks(texts, workers, batch_size)
        try:
            for i, result in enumerate(result for results in chunks for result in results):
                yield self._kept(i, result, on_error)
                if bar is not None:
                    bar.update()
        finally:
            chunks.close()  # type: ignore[attr-defined] # a generator
            if bar is not None:
                bar.close()

    def _kept(self, index: int, result: _stream.Result, on_error: str) -> Any:
        if not isinstance(result, _stream.Failure):
            return result
        if on_error == "raise":
            raise DocumentError(index, result.reason)
        return self._skipped()

    async def _aeach(self, texts: Iterable[Any], workers: int | None, batch_size: int,
                       on_error: str) -> AsyncIterator[Any]:
        import asyncio  # takes longer to import than the rest of this package

        chunks = self.chunks(texts, workers, batch_size)
        loop = asyncio.get_running_loop()
        index = 0
        try:
            while True:
                step = loop.run_in_executor(None, next, chunks, None)
                try:
                    results = await asyncio.shield(step)
                except asyncio.CancelledError:
                    await asyncio.wait([step])
                    raise
                if results is None:
                    return
                for result in results:
                    yield self._kept(index, result, on_error)
                    index += 1
        finally:
            chunks.close()  # type: ignore[attr-defined]


class Model(Stream):
    """A model, for subclasses. Documents are texts, and a result is a row of floats.

    Working memory is allocated when something is computed in this process, not before. Several threads may use a
    Model; they take turns. The child of a fork() may use it and opens the model again. It can be copied and pickled: a
    copy holds the options, not the weights. It opens the model at its first use, and looks the model up again if its
    folder does not exist.
    """

    _session: _core.Session | None
    _given: str | None = None  # the caller's folder, if the model's folder was made from it
    _live: tuple[str, ...] = ("_session", "_lock", "_facts", "_options")  # of this process, not pickled

    def _look_up(self, model: str, cache_dir: str | os.PathLike[str] | None, offline: bool) -> tuple[Callable[[], str], str]:
        """(a function that finds the model, and can be pickled; its folder). model: a name, or a folder."""
        self.cache_dir = _programs.absolute(cache_dir)
        asked = os.path.expanduser(os.fsdecode(model))
        folder = _programs.folder(asked, self.cache_dir, offline)
        return partial(_programs.folder, folder if os.path.isdir(asked) else asked, self.cache_dir, offline), folder

    @classmethod
    def _found(cls, find: Callable[[], str], folder: str, cache_dir: str | None, *, given: str | None,
               threads: int | None, memory: int | str | None, lazy_load: bool, **choices: Any) -> Self:
        """For other interfaces, which find models in their own way. find: can be pickled; folder: what it found;
        given: the name of the folder in messages, or None."""
        made = cls.__new__(cls)
        made.cache_dir = cache_dir
        made._given = given
        made._begin(find, folder, threads, memory, choices, lazy_load)
        return made

    def _begin(self, find: Callable[[], str], folder: str, threads: int | None, memory: int | str | None,
               choices: dict[str, Any], lazy_load: bool) -> None:
        self._find, self.model_dir, self._choices = find, folder, choices
        self._threads = count_of("threads", threads, _core.MAX_THREADS)
        self._memory = bytes_of(memory)
        # With "truncate" a text is not read after this many bytes.
        self._cut = _core.TEXT_BYTES + 1 if choices["long"] == "truncate" else None
        # What a stream holds in addition to its pool: a line of the plan.
        self._beside: dict[str, Any] = self._held()
        self._settle()
        if not lazy_load:
            self._open()
            self._session = None  # work in workers needs no session here

    def _settle(self) -> None:
        """Sets the members that belong to this process."""
        self._choices = dict(self._choices)
        self.threads = self._threads or min(_core.cpus(), _core.MAX_THREADS)
        self._options: dict[str, Any] = {}
        self._session = None
        self._facts: dict[str, Any] = {}
        self._lock = threading.Lock()
        _models.add(self)

    def __getstate__(self) -> dict[str, Any]:
        kept = {name: value for name, value in self.__dict__.items() if name not in self._live}
        return {**kept, "_pickled": (_STATE, _core.version)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        made, version = state.get("_pickled", (0, "another version"))
        if made != _STATE:
            raise UsageError(f"this {type(self).__name__} was pickled by vecmill {version} in form {made}, and vecmill "
                             f"{_core.version} reads form {_STATE}: make it anew, it holds options and no weights")
        self.__dict__.update((name, value) for name, value in state.items() if name != "_pickled")
        self._settle()

    def _in_force(self) -> dict[str, Any]:
        """The library's options. A model whose folder does not exist, as after a pickle from elsewhere, is looked up
        again."""
        if not self._options:
            if not os.path.isdir(self.model_dir):
                self.model_dir = self._find()
            self._options = {**self._choices, "model_dir": _programs.native(self.model_dir),
                             "cache_dir": _programs.native(_programs.absolute(self.cache_dir)),
                             "worker_path": _programs.native(_programs.WORKER)}
        return self._options

    def _ask(self, made: Callable[..., Any], **more: Any) -> Any:
        """Calls `made`, a function of the library, with these options. Messages name the folder that was given."""
        options = self._in_force()
        try:
            return made(**options, **more)
        except VecmillError as why:
            if self._given is None or self.model_dir not in str(why):
                raise
            raise type(why)(str(why).replace(self.model_dir, self._given)) from None

    # ---- what a subclass says ----

    def _held(self) -> dict[str, int]:
        """Bytes and rows that a stream holds."""
        return {"beside_bytes": _stream.held_bytes(self._cut), "beside_rows": _stream.ROWS}

    def _compute(self, piece: list[Any]) -> list[_stream.Result]:
        """Results in this process."""
        rows = np.empty((len(piece), self._width), np.float32)
        results: list[_stream.Result] = list(rows)
        session = self._open()
        with self._lock:
            failed = session.embed(piece, rows)
        for index, status, tokens in failed:
            results[index] = self._failure(status, tokens)
        return results

    def _taker(self) -> Callable[[_stream.Feed], list[_stream.Result]]:
        """Takes results of a pool."""
        return _stream.rows_of_pool(self._width)

    def _skipped(self) -> Any:
        """The result of a document that failed, where failures are skipped."""
        return np.zeros(self._width, np.float32)

    # ---- in this process ----

    def _open(self) -> _core.Session:
        with self._lock:
            if self._session is None:
                session: _core.Session = self._ask(_core.Session, threads=self.threads)
                self._facts = self._same(session.describe())
                if 0 < self._memory < self._facts["arena_bytes"]:
                    raise DoesNotFitError(f"the session takes {self._facts['arena_bytes']} bytes, memory allows "
                                          f"{self._memory}: fewer batch_tokens or threads take less")
                self._session = session
            return self._session

    def _same(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Returns the facts of the model opened now. ModelError if it is not the model that was opened before."""
        before = self._facts.get("identity", facts["identity"])
        if facts["identity"] != before:
            raise ModelError(f"{self.model_dir}: changed meanwhile: this object has model {before[:8]}, there is "
                             f"{facts['identity'][:8]} now; make the {type(self).__name__} anew")
        return facts

    def _failure(self, status: int, tokens: int) -> _stream.Failure:
        return _stream.Failure(_stream.words(status, tokens, int(self.facts["max_length"])))

    @property
    def _width(self) -> int:
        """Floats of a result's row."""
        return int(self.facts["dim"])

    @property
    def facts(self) -> dict[str, Any]:
        """The options in force: dim, max_length, most_length, batch_tokens, layers, heads, hidden, intermediate, vocab,
        precision, normalized, pooling, isa, pack_path, pack_bytes, arena_bytes, identity, threads, prompt, kinds,
        labels, result_bytes, warning."""
        if not self._facts:
            self._open()
        return dict(self._facts)

    def count_tokens(self, documents: Iterable[Any]) -> int:
        """Tokens that are computed of these documents, special ones included, cut at max_length."""
        total = 0
        documents = self._iterable(documents)
        for piece in _stream.pieces(documents, _stream.PIECE_TEXTS, _stream.PIECE_CHARS, self._read):
            session = self._open()
            with self._lock:
                total += session.count_tokens(piece)
        return total

    # ---- in this process or in workers ----

    def chunks(self, texts: Iterable[Any], workers: int | None = None,
               batch_size: int = 256) -> Iterator[list[_stream.Result]]:
        """Lists of results in order (see _stream); stream() and astream() yield them one by one."""
        texts = self._iterable(texts)
        if workers is None:
            self._open()
            for piece in _stream.pieces(texts, batch_size, CHARS_A_THREAD * self.threads, self._read):
                yield self._compute(piece)
            return
        source = _stream.pieces(texts, _stream.PIECE_TEXTS, _stream.PIECE_CHARS, self._read)
        workers = count_of("workers", workers, _core.MAX_WORKERS)
        pool = self._ask(_core.Pool, **self._beside, workers=workers, memory_bytes=self._memory)
        try:
            self._facts = self._facts or pool.describe()
            self._same(pool.describe())
        except BaseException:
            pool.close()
            raise
        yield from _stream.of_pool(pool, self._taker(), source)

    def plan(self, workers: int = 0) -> dict[str, Any]:
        """The memory of a run in workers, before it (docs/MEMORY.md): total_bytes, limit_bytes (None: no
        limit is known), limit_source, fits, workers, batch_tokens, parts, advice and more. Opens nothing."""
        workers = count_of("workers", workers, _core.MAX_WORKERS)
        plan: dict[str, Any] = self._ask(_core.plan, **self._beside, workers=workers, memory_bytes=self._memory)
        return plan


def _bar(texts: Iterable[str]) -> Any:
    try:
        from tqdm import tqdm  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        return None
    return tqdm(total=len(texts) if hasattr(texts, "__len__") else None, unit="docs")  # type: ignore[arg-type]
