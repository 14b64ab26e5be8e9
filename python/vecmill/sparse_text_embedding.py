"""SparseTextEmbedding: FastEmbed's interface to sparse weights. docs/FASTEMBED.md has what differs.

    from vecmill import SparseTextEmbedding          # was: from fastembed import SparseTextEmbedding

The weights are FastEmbed 0.9.1's with the same model: its rule for the maximum length, zeros left out. Indices are
ascending, also of BM25, where FastEmbed has them in the order of the words.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vecmill import _programs, _stream
from vecmill._errors import NotFoundError, UnsupportedError, UsageError
from vecmill._fastembed import Device, ModelSource, check_device, check_kwargs, max_context, where
from vecmill._model import Model, Stream, count_of
from vecmill.bm25 import Bm25

__all__ = ["SparseEmbedding", "SparseTextEmbedding"]


@dataclass
class SparseEmbedding:
    """The weights that a text has, and what they are of.

    values:  float64 [n], as FastEmbed has them (of BM25's queries int64); they are computed in float32
    indices: int64 [n], ascending: ids of tokens, or hashes of words
    """

    values: NDArray[Any]
    indices: NDArray[Any]

    def as_object(self) -> dict[str, NDArray[Any]]:
        """A dict of the two arrays."""
        return {"values": self.values, "indices": self.indices}

    def as_dict(self) -> dict[int, float]:
        """{index: value}"""
        return dict(zip(self.indices.tolist(), self.values.tolist(), strict=True))

    @classmethod
    def from_dict(cls, data: dict[int, float]) -> Self:
        """The opposite of as_dict()."""
        return cls(values=np.array(list(data.values()), np.float64), indices=np.array(list(data), np.int64))


class SparseModel(Model):
    """A model whose documents are texts, and whose results are sparse weights."""

    def _held(self) -> dict[str, int]:
        # A row here is as many floats as there can be weights. In a pool one result has two; and of those that are
        # taken together each has two as bytes, and four in indices and values of 64 bits.
        return {"beside_bytes": _stream.held_bytes(self._cut), "beside_rows": 2 + 6 * _stream.MADE}

    def _result(self, made: _stream.Made) -> _stream.Result:
        first, second, data = made
        if isinstance(data, bytearray):
            return SparseEmbedding(values=np.frombuffer(data, np.float32, first, 4 * first).astype(np.float64),
                                   indices=np.frombuffer(data, np.uint32, first).astype(np.int64))
        return _stream.Failure(data) if data else self._failure(first, second)

    def _compute(self, piece: list[Any]) -> list[_stream.Result]:
        session = self._open()
        with self._lock:
            made = session.compute(piece)
        return [self._result(one) for one in made]

    def _taker(self) -> Callable[[_stream.Feed], list[_stream.Result]]:
        return lambda feed: [self._result(one) for one in feed.take_made()]

    def _skipped(self) -> Any:
        return SparseEmbedding(values=np.empty(0), indices=np.empty(0, np.int64))


class WordModel(Stream):
    """BM25 with the names of a SparseModel. It is computed in this process, whatever the number of workers."""

    _cut = None

    def __init__(self, folder: str | None, options: dict[str, Any]):
        language, stopwords = options.get("language", "english"), options.get("stopwords")
        if options.pop("stemmer", None) is not None:
            raise UnsupportedError("stemmer= of Qdrant/bm25 is not supported; language= names one of libstemmer's")
        if folder is not None and stopwords is None and not options.get("disable_stemmer"):
            options["stopwords"] = self._listed(os.path.join(folder, f"{language}.txt"))
        self.bm25 = Bm25(**options)

    @staticmethod
    def _listed(path: str) -> list[str]:
        """Stop words of a folder of FastEmbed's, which has none for some languages."""
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as file:
            return file.read().splitlines()

    def chunks(self, texts: Iterable[Any], workers: int | None = None,
               batch_size: int = 256) -> Iterator[list[_stream.Result]]:
        for piece in _stream.pieces(self._iterable(texts), batch_size, _stream.PIECE_CHARS, self._read):
            yield [SparseEmbedding(values=weights.astype(np.float64), indices=indices)
                   for indices, weights in self.bm25.documents(piece)]

    def queries(self, texts: Iterable[Any]) -> Iterator[SparseEmbedding]:
        for piece in _stream.pieces(self._iterable(texts), 1, _stream.PIECE_CHARS, self._read):
            for indices, weights in self.bm25.queries(piece):
                yield SparseEmbedding(values=weights.astype(np.int64), indices=indices)

    def count_tokens(self, texts: Iterable[Any]) -> int:
        return sum(self.bm25.token_count(piece) for piece in _stream.pieces(
            self._iterable(texts), _stream.PIECE_TEXTS, _stream.PIECE_CHARS, self._read))

    def plan(self, workers: int = 0) -> dict[str, Any]:
        raise UnsupportedError("Qdrant/bm25 has no plan: it has no workers")


@dataclass(frozen=True)
class _Description:
    model: str
    sources: ModelSource
    model_file: str
    description: str
    license: str
    size_in_GB: float
    additional_files: list[str] = field(default_factory=list)
    requires_idf: bool | None = None
    vocab_size: int | None = None


_MODELS = tuple(
    _Description(name, ModelSource(hf="prithivida/Splade_PP_en_v1"), "model.safetensors",
                 "Weights of the vocabulary's tokens (SPLADE++), English", "apache-2.0", 0.44, vocab_size=30522)
    for name in ("prithivida/Splade_PP_en_v1", "prithvida/Splade_PP_en_v1")) + (
    _Description("Qdrant/bm25", ModelSource(hf="Qdrant/bm25"), "", "Weights of words (BM25), for an index with Qdrant's "
                 "modifier idf; nothing is fetched", "apache-2.0", 0.0, requires_idf=True, vocab_size=0),)
_BM25 = "Qdrant/bm25"
_OF_BM25 = ("k", "b", "avg_len", "language", "token_max_length", "disable_stemmer", "stemmer", "stopwords")
_MISSPELT, _RIGHT = "prithvida/Splade_PP_en_v1", "prithivida/Splade_PP_en_v1"


class SparseTextEmbedding:
    """A model that turns texts into sparse weights; the arguments are FastEmbed's.

    model_name: a name of list_supported_models(), or the folder of a model that makes sparse weights (docs/MODEL.md)
    cache_dir, threads, providers, cuda, device_ids, lazy_load, local_files_only, specific_model_path: as of
                TextEmbedding
    Not in FastEmbed:
    precision, memory, max_length: as of TextEmbedding
    Of Qdrant/bm25 alone:
    k, b, avg_len, language, token_max_length, disable_stemmer, stopwords: as of vecmill.bm25.Bm25; stop words are
                those of the language, or of specific_model_path, a folder with LANGUAGE.txt

    It can be copied and pickled.
    """

    model: SparseModel | WordModel

    def __init__(self, model_name: str, cache_dir: str | None = None, threads: int | None = None,
                 providers: Sequence[Any] | None = None, cuda: bool | Device | str = Device.AUTO,
                 device_ids: list[int] | None = None, lazy_load: bool = False, *, local_files_only: bool = False,
                 specific_model_path: str | None = None, precision: str = "auto", memory: int | str | None = None,
                 max_length: int | None = None, **kwargs: Any):
        of_words = {name: kwargs.pop(name) for name in _OF_BM25 if name in kwargs and model_name.lower() == _BM25.lower()}
        check_kwargs("SparseTextEmbedding", kwargs)
        check_device(providers, cuda, device_ids)
        if model_name.lower() == _MISSPELT.lower():
            warnings.warn(f"The right spelling is {_RIGHT}. Support of this name will be removed soon, please fix the "
                          "model_name", DeprecationWarning, stacklevel=2)
            model_name = _RIGHT
        self.model_name = model_name
        self.cache_dir = _programs.absolute(cache_dir)
        self.threads = threads
        if model_name.lower() == _BM25.lower():
            self.model = WordModel(self._source(_BM25, specific_model_path) if specific_model_path else None, of_words)
            return
        find = partial(_programs.folder, self._source(model_name, specific_model_path), self.cache_dir,
                       local_files_only)
        folder = find()
        self.model = SparseModel._found(
            find, folder, self.cache_dir, given=None, threads=threads, memory=memory, lazy_load=lazy_load, isa=None,
            long="truncate", precision="fp32" if precision == "auto" else precision, batch_tokens=0,
            max_length=count_of("max_length", max_length, 1 << 30) or max_context(folder), prompt="", kind="sparse")

    @classmethod
    def _source(cls, name: str, path: str | None) -> str:
        """Where the files of a model are: a folder, or a name of the hub."""
        known = next((d for d in _MODELS if d.model.lower() == name.lower()), None)
        asked = os.path.expanduser(name)
        if known is None and not os.path.isfile(os.path.join(asked, "config.json")):
            raise UsageError(f"Model {name} is not supported in SparseTextEmbedding. Please check the supported models "
                             "using `SparseTextEmbedding.list_supported_models()`")
        if path is not None:
            given = os.path.abspath(os.path.expanduser(os.fsdecode(path)))
            if not os.path.isdir(given):
                raise NotFoundError(f"Could not find the folder {given} of model {name}")
            return given
        return os.path.abspath(asked) if known is None else str(known.sources.hf)

    @classmethod
    def list_supported_models(cls) -> list[dict[str, Any]]:
        """A dict for each model: model, sources, model_file, description, license, size_in_GB, additional_files,
        requires_idf, vocab_size."""
        return [asdict(description) for description in _MODELS]

    def embed(self, documents: str | Iterable[str], batch_size: int = 256, parallel: int | None = None, *,
              on_error: str = "raise", progress: bool = False) -> Iterator[SparseEmbedding]:
        """Yields a SparseEmbedding for each document, in order. A generator: nothing happens until it is iterated.
        Arguments are as of TextEmbedding.embed(); a document that is skipped has no weights."""
        texts, workers = where(documents, batch_size, parallel)
        yield from self.model._each(texts, workers, batch_size, on_error, progress)

    async def aembed(self, documents: str | Iterable[str], batch_size: int = 256, parallel: int | None = None, *,
                     on_error: str = "raise") -> AsyncIterator[SparseEmbedding]:
        """As embed(), for asyncio."""
        texts, workers = where(documents, batch_size, parallel)
        async for result in self.model._aeach(texts, workers, batch_size, on_error):
            yield result

    def query_embed(self, query: str | Iterable[str], **kwargs: Any) -> Iterator[SparseEmbedding]:
        """As embed(); of BM25 the words, each with the weight 1. UnsupportedError: the model's queries are weights of a
        table, idf.json."""
        if isinstance(self.model, WordModel):
            yield from self.model.queries(query)
            return
        table = os.path.join(self.model.model_dir, "idf.json")
        if os.path.exists(table):
            raise UnsupportedError(f"{table}: queries of this model are this table's weights, which this version does "
                                   "not look up; passage_embed() has its documents")
        yield from self.embed(query, **kwargs)

    def passage_embed(self, texts: str | Iterable[str], **kwargs: Any) -> Iterator[SparseEmbedding]:
        """As embed()."""
        yield from self.embed(texts, **kwargs)

    def token_count(self, texts: str | Iterable[str], batch_size: int = 1024) -> int:
        """Tokens of the texts, special ones included, after the cut at the maximum length."""
        return self.model.count_tokens(where(texts, batch_size, None)[0])

    def plan(self, parallel: int = 0) -> dict[str, Any]:
        """The memory of embed(parallel=...), before the run: see Embedder.plan()."""
        return self.model.plan(parallel)
