"""Embedder: vecmill's own interface in Python, over vecmill.h."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from functools import partial
from typing import Any, Self, overload

import numpy as np

from vecmill import _core, _custom, _documents, _programs, _stream
from vecmill._errors import DocumentError, DoesNotFitError, ModelError, UsageError, VecmillError
from vecmill._tokenizer import Encoding, Settings, Tokenizer, Vocabulary

_CHARS_A_THREAD = 1 << 14  # of one call of a session; Ctrl-C waits for that call
_STATE = 1  # the version of a pickle's members
_LIVE = ("_session", "_lock", "_facts", "_options", "_tokenizing", "_names")  # of this process, not pickled


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
_embedders: weakref.WeakSet[Embedder] = weakref.WeakSet()


def _forget_sessions() -> None:
    for embedder in list(_embedders):
        embedder._session, embedder._lock = None, threading.Lock()


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


class Embedder:
    """A model that turns texts into vectors, on this machine's processors.

    model:        a name of `vecmill models` (fetched at the first use), `org/name`, or a folder in Hugging Face
                  layout
    cache_dir:    where models and packs are kept; default $VECMILL_CACHE, $XDG_CACHE_HOME/vecmill or ~/.cache/vecmill
    precision:    "fp32", "bf16" or "int8"; "auto" is fp32
    threads:      compute together in this process; default: the processors that it may keep busy. No bit of a
                  vector depends on them
    max_length:   tokens kept of a document, special ones included; default: the model's own
    batch_tokens: tokens computed in one pass; default: chosen
    long:         what is done with longer documents: "truncate", "error", or "split" into windows and average
    dimensions:   floats kept of a vector, the first ones; default: truncate_dim of the model's
                  config_sentence_transformers.json, else all
    normalize:    which vectors are scaled to length 1: "auto", those that were cut; "yes", all, as the last step;
                  "no", only as the model's own modules do
    prompt, prompt_name: text that is put before each text, or its name among the model's prompts; one of the two.
                  Without them the role's, else the model's default prompt, if it has one; "" is none
    role:         "document" or "query", what the texts are to a search: the model's prompt of that name
    task:         one of the model's tasks, as jina-embeddings-v3 has: its adapter, and its instruction before each text
                  unless a prompt or a role says another
    isa:          at most this instruction set: "ref", "avx2", "avx512"
    memory:       the most that workers and this process's share for them may use, bytes or "512M"; without workers,
                  the most that the session's working memory may be
    local_files_only: nothing is fetched
    lazy_load:    opens the model at its first use instead of now

    Working memory is allocated when something is computed in this process, not before. Several threads may use an
    Embedder; they take turns. The child of a fork() may use it and opens the model again. It can be copied and pickled:
    a copy holds the options, not the weights. It opens the model at its first use, and looks the model up again if its
    folder does not exist.
    Errors: UsageError, UnsupportedError, NotFoundError, ModelError, DoesNotFitError, SystemCallError.
    """

    _session: _core.Session | None
    _given: str | None = None  # the caller's folder, if the model's folder was made from it

    def __init__(self, model: str = "all-MiniLM-L6-v2", *, cache_dir: str | os.PathLike[str] | None = None,
                 precision: str = "auto", threads: int | None = None, max_length: int | None = None,
                 batch_tokens: int | None = None, long: str = "truncate", dimensions: int | None = None,
                 normalize: str = "auto", prompt: str | None = None, prompt_name: str | None = None,
                 role: str = "auto", task: str | None = None, isa: str | None = None, memory: int | str | None = None,
                 local_files_only: bool = False, lazy_load: bool = False):
        self.cache_dir = _programs.absolute(cache_dir)
        asked = os.path.expanduser(os.fsdecode(model))
        folder = _programs.folder(asked, self.cache_dir, local_files_only)
        find = partial(_programs.folder, folder if os.path.isdir(asked) else asked, self.cache_dir, local_files_only)
        self._begin(find, folder, threads, memory, {
            "isa": isa,
            "precision": "fp32" if precision == "auto" else precision,
            "long": long,
            "batch_tokens": count_of("batch_tokens", batch_tokens, _core.MAX_BATCH_TOKENS),
            "max_length": count_of("max_length", max_length, 1 << 30),
            "dimensions": dimensions_of(dimensions),
            "normalize": normalize,
            "prompt": prompt,
            "prompt_name": prompt_name,
            "role": role,
            "task": task,
        }, lazy_load)

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
        self._beside: dict[str, Any] = {"beside_bytes": _stream.held_bytes(self._cut), "beside_rows": _stream.ROWS}
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
        self._tokenizing = Settings()
        self._names: Vocabulary | None = None
        _embedders.add(self)

    def __getstate__(self) -> dict[str, Any]:
        kept = {name: value for name, value in self.__dict__.items() if name not in _LIVE}
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

    def _embed_piece(self, piece: list[str], rows: np.ndarray) -> list[tuple[int, int, int]]:
        session = self._open()
        with self._lock:
            return session.embed(piece, rows)

    @property
    def facts(self) -> dict[str, Any]:
        """The options in force: dim, max_length, most_length, batch_tokens, layers, heads, hidden, intermediate, vocab,
        precision, normalized, pooling, isa, pack_path, pack_bytes, arena_bytes, identity, threads, prompt,
        warning."""
        if not self._facts:
            self._open()
        return dict(self._facts)

    @property
    def dim(self) -> int:
        """Floats in a vector."""
        return int(self.facts["dim"])

    def embed(self, texts: Iterable[str], *, on_error: str = "raise") -> np.ndarray:
        """Vectors of all texts, float32 [n, dim], computed in this process."""
        rows = list(self.stream(texts, on_error=on_error))
        return np.stack(rows) if rows else np.empty((0, self.dim), np.float32)

    @overload
    def tokenize(self, text: str) -> list[int]: ...  # type: ignore[overload-overlap] # a str is one text

    @overload
    def tokenize(self, text: Iterable[str]) -> list[Encoding]: ...

    def tokenize(self, text: str | Iterable[str]) -> list[int] | list[Encoding]:
        """Token ids as for embedding: special ones included, cut at max_length. For several texts, as with FastEmbed's
        models, the result of tokenizer.encode_batch()."""
        if not isinstance(text, str):
            return self.tokenizer.encode_batch(text)
        session = self._open()
        with self._lock:
            return session.tokenize(text)

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer, for code that counts and splits texts (see Tokenizer). Until it is set otherwise, it
        truncates and pads as FastEmbed's does."""
        return Tokenizer(self, self._tokenizing)

    def _tokens(self, text: str, specials: bool) -> tuple[bytes, bytes]:
        session = self._open()
        with self._lock:
            return session.tokens(text, specials)

    def _vocabulary(self) -> Vocabulary:
        if self._names is None:
            folder = os.path.join(self.model_dir, _custom.encoder_folder(self.model_dir))
            self._names = Vocabulary(folder, self._open().vocab())
        return self._names

    def _limit_length(self, tokens: int) -> None:
        """From now on documents are cut at this many tokens, at most at the model's maximum."""
        most = int(self.facts["most_length"])
        with self._lock:
            self._choices["max_length"] = min(tokens, most)
            self._options, self._session, self._facts = {}, None, {}

    def count_tokens(self, texts: Iterable[str]) -> int:
        """Tokens that embedding these texts computes, special ones included, cut at max_length."""
        total = 0
        texts = _documents.texts_of(texts)
        for piece in _stream.pieces(texts, _stream.PIECE_TEXTS, _stream.PIECE_CHARS, self._cut):
            session = self._open()
            with self._lock:
                total += session.count_tokens(piece)
        return total

    # ---- in this process or in workers ----

    def chunks(self, texts: Iterable[str], workers: int | None = None,
               batch_size: int = 256) -> Iterator[list[_stream.Result]]:
        """Lists of results in order (see _stream); stream() and astream() yield them one by one."""
        texts = _documents.texts_of(texts)
        if workers is None:
            self._open()
            dim, longest = self.dim, int(self.facts["max_length"])
            chars = _CHARS_A_THREAD * self.threads
            source = _stream.pieces(texts, batch_size, chars, self._cut)
            yield from _stream.of_session(self._embed_piece, dim, longest, source)
            return
        source = _stream.pieces(texts, _stream.PIECE_TEXTS, _stream.PIECE_CHARS, self._cut)
        workers = count_of("workers", workers, _core.MAX_WORKERS)
        pool = self._ask(_core.Pool, **self._beside, workers=workers, memory_bytes=self._memory)
        try:
            self._facts = self._facts or pool.describe()
            self._same(pool.describe())
        except BaseException:
            pool.close()
            raise
        yield from _stream.of_pool(pool, self.dim, source)

    def stream(self, texts: Iterable[str], *, workers: int | None = None, batch_size: int = 256,
               on_error: str = "raise", progress: bool = False) -> Iterator[np.ndarray]:
        """A float32 row of shape (dim,) for each text, in order, lazily. A str is one text.

        workers:  None: in this process, with its threads; n: n processes, any of which may be killed at any
                  moment without effect on the result; 0: as many as this cgroup's processors and memory allow
        on_error: "raise": DocumentError at the position of a document that fails; "skip": a row of zeros there
        progress: shows a bar, if tqdm is installed

        Reads no further ahead than the memory plan says. May be closed at any time.
        """
        if on_error not in ("raise", "skip"):
            raise UsageError(f"on_error is {on_error!r}; it is 'raise' or 'skip'")
        texts = _documents.texts_of(texts)
        bar = _bar(texts) if progress else None
        chunks = self.chunks(texts, workers, batch_size)
        try:
            for i, result in enumerate(result for results in chunks for result in results):
                yield self._row(i, result, on_error)
                if bar is not None:
                    bar.update()
        finally:
            chunks.close()  # type: ignore[attr-defined] # a generator
            if bar is not None:
                bar.close()

    def _row(self, index: int, result: _stream.Result, on_error: str) -> np.ndarray:
        if not isinstance(result, _stream.Failure):
            return result
        if on_error == "raise":
            raise DocumentError(index, result.reason)
        return np.zeros(self.dim, np.float32)

    async def astream(self, texts: Iterable[str], *, workers: int | None = None, batch_size: int = 256,
                      on_error: str = "raise") -> AsyncIterator[np.ndarray]:
        """As stream(), for asyncio: waits and computes in a thread of the loop's executor. When cancelled, it ends with
        the current call, within a second or one piece of work."""
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
                    yield self._row(index, result, on_error)
                    index += 1
        finally:
            chunks.close()  # type: ignore[attr-defined]

    def plan(self, workers: int = 0) -> dict[str, Any]:
        """The memory of stream(workers=...), before the run (docs/MEMORY.md): total_bytes, limit_bytes (None: no
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
