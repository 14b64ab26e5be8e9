"""Embedder: vecmill's own interface in Python, over vecmill.h."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import overload

import numpy as np

from vecmill import _core, _custom
from vecmill._model import Model, count_of, dimensions_of
from vecmill._tokenizer import Encoding, Settings, Tokenizer, Vocabulary


class Embedder(Model):
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

    _live = (*Model._live, "_tokenizing", "_names")

    def __init__(self, model: str = "all-MiniLM-L6-v2", *, cache_dir: str | os.PathLike[str] | None = None,
                 precision: str = "auto", threads: int | None = None, max_length: int | None = None,
                 batch_tokens: int | None = None, long: str = "truncate", dimensions: int | None = None,
                 normalize: str = "auto", prompt: str | None = None, prompt_name: str | None = None,
                 role: str = "auto", task: str | None = None, isa: str | None = None, memory: int | str | None = None,
                 local_files_only: bool = False, lazy_load: bool = False):
        find, folder = self._look_up(model, cache_dir, local_files_only)
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

    def _settle(self) -> None:
        super()._settle()
        self._tokenizing = Settings()
        self._names: Vocabulary | None = None

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

    # ---- in this process or in workers ----

    def stream(self, texts: Iterable[str], *, workers: int | None = None, batch_size: int = 256,
               on_error: str = "raise", progress: bool = False) -> Iterator[np.ndarray]:
        """A float32 row of shape (dim,) for each text, in order, lazily. A str is one text.

        workers:  None: in this process, with its threads; n: n processes, any of which may be killed at any
                  moment without effect on the result; 0: as many as this cgroup's processors and memory allow
        on_error: "raise": DocumentError at the position of a document that fails; "skip": a row of zeros there
        progress: shows a bar, if tqdm is installed

        Reads no further ahead than the memory plan says. May be closed at any time.
        """
        yield from self._each(texts, workers, batch_size, on_error, progress)

    def astream(self, texts: Iterable[str], *, workers: int | None = None, batch_size: int = 256,
                on_error: str = "raise") -> AsyncIterator[np.ndarray]:
        """As stream(), for asyncio: waits and computes in a thread of the loop's executor. When cancelled, it ends with
        the current call, within a second or one piece of work."""
        return self._aeach(texts, workers, batch_size, on_error)
