"""TextCrossEncoder: FastEmbed's interface to models that score pairs. docs/FASTEMBED.md has what differs.

    from vecmill.rerank.cross_encoder import TextCrossEncoder   # was: from fastembed.rerank.cross_encoder import ...

The scores are FastEmbed 0.9.1's with the same weights: the logit of the first label, not sorted.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from vecmill import _documents, _programs
from vecmill._cross import Scorer
from vecmill._errors import NotFoundError, UnsupportedError, UsageError
from vecmill._fastembed import Device, ModelSource, check_device, check_kwargs, max_context, where
from vecmill._model import count_of

__all__ = ["TextCrossEncoder"]


@dataclass(frozen=True)
class _Description:
    model: str
    sources: ModelSource
    model_file: str
    description: str
    license: str
    size_in_GB: float
    additional_files: list[str] = field(default_factory=list)


def _reranker(model: str, weights: str, license: str, size_in_gb: float, more: str = "") -> _Description:
    return _Description(model, ModelSource(hf=weights), "model.safetensors", f"Scores of pairs{more}", license, size_in_gb)


# FastEmbed's names, here the weights that its ONNX files were made of.
_MODELS = (
    _reranker("Xenova/ms-marco-MiniLM-L-6-v2", "cross-encoder/ms-marco-MiniLM-L6-v2", "apache-2.0", 0.09),
    _reranker("Xenova/ms-marco-MiniLM-L-12-v2", "cross-encoder/ms-marco-MiniLM-L12-v2", "apache-2.0", 0.13),
    _reranker("BAAI/bge-reranker-base", "BAAI/bge-reranker-base", "mit", 1.11),
    _reranker("BAAI/bge-reranker-v2-m3", "BAAI/bge-reranker-v2-m3", "apache-2.0", 2.27),
    _reranker("BAAI/bge-reranker-v2-m3-int8", "BAAI/bge-reranker-v2-m3", "apache-2.0", 2.27, ", computed in int8"),
    _reranker("jinaai/jina-reranker-v2-base-multilingual", "jinaai/jina-reranker-v2-base-multilingual", "cc-by-nc-4.0",
              0.56),
)
_INT8 = "BAAI/bge-reranker-v2-m3-int8"


def _pairs(given: Any) -> Iterable[Any]:
    """One pair, a tuple of two str, is a list of one."""
    return [given] if isinstance(given, tuple) and any(isinstance(text, str) for text in given) else _documents.pairs_of(
        given)


class TextCrossEncoder:
    """A model that scores pairs of a query and a document; the arguments are FastEmbed's.

    model_name: a name of list_supported_models(), one of add_custom_model(), or a model's folder
    cache_dir, threads, providers, cuda, device_ids, lazy_load, local_files_only, specific_model_path: as of
                TextEmbedding
    Not in FastEmbed:
    precision, memory, max_length: as of TextEmbedding

    It can be copied and pickled.
    """

    _custom_models: list[_Description] = []

    def __init__(self, model_name: str, cache_dir: str | None = None, threads: int | None = None,
                 providers: Sequence[Any] | None = None, cuda: bool | Device | str = Device.AUTO,
                 device_ids: list[int] | None = None, lazy_load: bool = False, *, local_files_only: bool = False,
                 specific_model_path: str | None = None, precision: str = "auto", memory: int | str | None = None,
                 max_length: int | None = None, **kwargs: Any):
        check_kwargs("TextCrossEncoder", kwargs)
        check_device(providers, cuda, device_ids)
        self.model_name = model_name
        self.cache_dir = _programs.absolute(cache_dir)
        self.threads = threads
        source = self._source(model_name, specific_model_path)
        if precision == "auto":
            precision = "int8" if model_name.lower() == _INT8.lower() else "fp32"
        find = partial(_programs.folder, source, self.cache_dir, local_files_only)
        folder = find()
        self.model = Scorer._found(
            find, folder, self.cache_dir, given=None, threads=threads, memory=memory, lazy_load=lazy_load, isa=None,
            long="truncate", precision=precision, batch_tokens=0,
            max_length=count_of("max_length", max_length, 1 << 30) or max_context(folder), kind="score",
            raw_scores=True)

    @classmethod
    def _source(cls, name: str, path: str | None) -> str:
        """Where the files of a model are: a folder, or a name of the hub."""
        known = next((d for d in cls._descriptions() if d.model.lower() == name.lower()), None)
        asked = os.path.expanduser(name)
        is_folder = known is None and os.path.isfile(os.path.join(asked, "config.json"))
        if known is None and not is_folder:
            raise UsageError(f"Model {name} is not supported in TextCrossEncoder. Please check the supported models "
                             "using `TextCrossEncoder.list_supported_models()`")
        if path is not None:
            given = os.path.abspath(os.path.expanduser(os.fsdecode(path)))
            if not os.path.isdir(given):
                raise NotFoundError(f"Could not find the folder {given} of model {name}")
            return given
        if known is None:
            return os.path.abspath(asked)
        if known.sources.hf is None:
            raise UnsupportedError(f"Model {name} has no source except a url, which names ONNX files")
        return known.sources.hf

    # ---- the registry ----

    @classmethod
    def _descriptions(cls) -> list[_Description]:
        return [*_MODELS, *cls._custom_models]

    @classmethod
    def list_supported_models(cls) -> list[dict[str, Any]]:
        """A dict for each model: model, sources, model_file, description, license, size_in_GB, additional_files."""
        return [asdict(description) for description in cls._descriptions()]

    @classmethod
    def add_custom_model(cls, model: str, sources: ModelSource, model_file: str = "model.safetensors",
                         description: str = "", license: str = "", size_in_gb: float = 0.0,
                         additional_files: list[str] | None = None) -> None:
        """Registers a model under a name. sources: an object with .hf, FastEmbed's or this package's. model_file and
        additional_files are about ONNX files."""
        if any(known.model.lower() == model.lower() for known in cls._descriptions()):
            raise UsageError(f"Model {model} is already registered in TextCrossEncoder, if you still want to add this "
                             "model, please use another model name")
        cls._custom_models.append(_Description(model, ModelSource(hf=sources.hf, url=sources.url), model_file,
                                               description, license, size_in_gb, additional_files or []))

    # ---- scores ----

    def rerank(self, query: str, documents: Iterable[str], batch_size: int = 64, *, parallel: int | None = None,
               on_error: str = "raise", progress: bool = False) -> Iterator[float]:
        """Yields a score for each document, in the order of the documents. A generator: nothing happens until it is
        iterated.

        batch_size: documents computed together in this process, at most; the scores do not depend on it
        parallel, on_error, progress: as of TextEmbedding.embed(); a document that is skipped has the score 0
        """
        if not isinstance(query, str):
            raise TypeError(f"query is {type(query).__name__}, not str")
        texts, workers = where(documents, batch_size, parallel)
        pairs = ((query, text) for text in texts)
        for scores in self.model._each(pairs, workers, batch_size, on_error, progress):
            yield float(scores[0])

    def rerank_pairs(self, pairs: Iterable[tuple[str, str]], batch_size: int = 64, parallel: int | None = None, *,
                     on_error: str = "raise", progress: bool = False) -> Iterator[float]:
        """Yields a score for each pair of a query and a document. A tuple of two str is one pair; it, and a list shorter
        than batch_size, is computed in this process. Otherwise as rerank()."""
        one = isinstance(pairs, tuple)
        found, workers = where(pairs, batch_size, parallel, _pairs)
        for scores in self.model._each(found, None if one else workers, batch_size, on_error, progress):
            yield float(scores[0])

    async def arerank_pairs(self, pairs: Iterable[tuple[str, str]], batch_size: int = 64, parallel: int | None = None, *,
                            on_error: str = "raise") -> AsyncIterator[float]:
        """As rerank_pairs(), for asyncio."""
        one = isinstance(pairs, tuple)
        found, workers = where(pairs, batch_size, parallel, _pairs)
        async for scores in self.model._aeach(found, None if one else workers, batch_size, on_error):
            yield float(scores[0])

    def token_count(self, pairs: Iterable[tuple[str, str]], batch_size: int = 1024) -> int:
        """Tokens of the pairs, special ones included, after the cut at the maximum length."""
        return self.model.count_tokens(where(pairs, batch_size, None, _pairs)[0])

    def plan(self, parallel: int = 0) -> dict[str, Any]:
        """The memory of rerank_pairs(parallel=...), before the run: see Embedder.plan()."""
        return self.model.plan(parallel)
