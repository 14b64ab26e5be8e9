"""TextEmbedding: FastEmbed's interface to vecmill. docs/FASTEMBED.md lists what is the same, better, and missing.

    from vecmill import TextEmbedding          # was: from fastembed import TextEmbedding

The vectors are those of FastEmbed 0.9.1 with the same weights: its rule for the maximum length
(tokenizer_config.json), its pooling and normalization. The same are also the defaults, the lazy generators and
their order, one float32 array a document, and the errors for the same mistakes.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from vecmill import _custom, _programs
from vecmill._embedder import Embedder
from vecmill._errors import NotFoundError, UnsupportedError, UsageError
from vecmill._fastembed import (Device, ModelSource, PoolingType, check_device, check_kwargs, max_context, positive,
                                where)
from vecmill._model import count_of, dimensions_of

__all__ = ["Device", "ModelSource", "PoolingType", "TextEmbedding", "max_context"]


@dataclass(frozen=True)
class _Description:
    model: str
    sources: ModelSource
    model_file: str
    description: str
    license: str
    size_in_GB: float
    additional_files: list[str] = field(default_factory=list)
    dim: int = 0
    tasks: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Custom:
    description: _Description
    pooling: str
    normalization: bool


# FastEmbed does not normalize these, whatever their own files say.
_UNNORMALIZED = frozenset((
    "nomic-ai/nomic-embed-text-v1", "nomic-ai/nomic-embed-text-v1.5",
    "sentence-transformers/paraphrase-multilingual-minilm-l12-v2",
    "sentence-transformers/paraphrase-multilingual-mpnet-base-v2", "intfloat/multilingual-e5-large",
    "ibm-granite/granite-embedding-small-english-r2"))

# Tasks by FastEmbed's task_id, and which of them is for passages and for queries. No prefix is added there.
_TASKS_OF = {"jinaai/jina-embeddings-v3": ("retrieval.query", "retrieval.passage", "separation", "classification",
                                           "text-matching")}
_QUERY, _PASSAGE = 0, 1

# FastEmbed's names of ONNX files: (whose weights they are, at which precision).
_ONNX_OF = {
    "nomic-ai/nomic-embed-text-v1.5-Q": ("nomic-ai/nomic-embed-text-v1.5", "int8"),
    "Qwen/Qwen3-Embedding-0.6B-Q": ("Qwen/Qwen3-Embedding-0.6B", "int8"),
    "Qdrant/stella-en-400M-v5-doc-onnx": ("NovaSearch/stella_en_400M_v5", "fp32"),
}


def _weights_of(name: str) -> tuple[str, str | None]:
    """(the registry's name of a model's weights, the precision of FastEmbed's file where it has one of its own)"""
    for onnx, same in _ONNX_OF.items():
        if name.lower() in (onnx.lower(), onnx.lower().partition("/")[2]):
            return same
    return name, None


def _of_entry(entry: dict[str, Any]) -> _Description:
    words = (f"Text embeddings, {entry['pooling']} pooling, "
             f"{'normalized' if entry['normalize'] else 'not normalized'}, {entry['max_length']} tokens")
    return _Description(model=entry["name"], sources=ModelSource(hf=entry["name"]), model_file="model.safetensors",
                        description=words, license=entry["licence"].lower(),
                        size_in_GB=round((entry["bytes"] or 0) / 1e9, 3), dim=entry["dim"])


def _truncate_dim(model_dir: str) -> int:
    """Floats to keep of a vector by the model's files; 0: the files do not say."""
    try:
        with open(os.path.join(model_dir, "config_sentence_transformers.json"), encoding="utf-8") as file:
            return positive(json.load(file).get("truncate_dim")) or 0
    except (OSError, ValueError, AttributeError):  # the library reports the fault
        return 0


class _Model(Embedder):
    """What FastEmbed has as TextEmbedding.model: an Embedder with the names that programs use of that model."""

    model_name: str

    def load_onnx_model(self) -> None:
        """Opens the model if it is not open yet."""
        self._open()

    @property
    def special_token_to_id(self) -> dict[str, int]:
        names = self._vocabulary()
        return {names.tokens[i] or "": i for i in sorted(names.special)}

    def query_embed(self, query: str | Iterable[str], **kwargs: Any) -> Iterator[np.ndarray]:
        if self._choices.get("task"):
            raise UnsupportedError(f"model.query_embed() of {self.model_name}: this model has one task, "
                                   f"{self._choices['task']}; TextEmbedding.query_embed() has the one for queries")
        yield from self.stream(query, **kwargs)

    def passage_embed(self, texts: Iterable[str], **kwargs: Any) -> Iterator[np.ndarray]:
        yield from self.stream(texts, **kwargs)

    def token_count(self, texts: str | Iterable[str], **kwargs: Any) -> int:
        return self.count_tokens(texts)


class TextEmbedding:
    """A model that turns texts into vectors; the arguments are FastEmbed's.

    model_name:  a name of list_supported_models(), or one of add_custom_model()
    cache_dir:   where models and packs are kept; default $VECMILL_CACHE, $XDG_CACHE_HOME/vecmill or ~/.cache/vecmill
                 (not FastEmbed's folder, whose files are ONNX)
    threads:     of this process, when it computes itself; default: the processors it may keep busy
    providers, cuda, device_ids: a value that asks for anything but the CPU is refused or warned about
    lazy_load:   opens the model at its first use
    local_files_only, specific_model_path: as FastEmbed's; the path is a folder with safetensors or pytorch_model.bin
    Not in FastEmbed:
    precision:   "auto" (fp32), "fp32", "bf16", "int8"
    memory:      the most that embedding may use, bytes or "512M"; planned before the run, and never exceeded
    max_length:  tokens kept of a document; default: FastEmbed's rule, max_context()
    dimensions, normalize: floats kept of a vector, and whether it is scaled to length 1, as of Embedder

    It can be copied and pickled, like an Embedder. `model` is that Embedder, `model.tokenizer` its tokenizer.
    """

    _custom_models: list[_Custom] = []

    def __init__(self, model_name: str = "BAAI/bge-small-en-v1.5", cache_dir: str | None = None,
                 threads: int | None = None, providers: Sequence[Any] | None = None,
                 cuda: bool | Device | str = Device.AUTO, device_ids: list[int] | None = None,
                 lazy_load: bool = False, *, local_files_only: bool = False,
                 specific_model_path: str | None = None, precision: str = "auto",
                 memory: int | str | None = None, max_length: int | None = None, dimensions: int | None = None,
                 normalize: str = "auto", **kwargs: Any):
        check_kwargs("TextEmbedding", kwargs)
        check_device(providers, cuda, device_ids)
        self.model_name = model_name
        weights, own = _weights_of(model_name)
        if precision == "auto":
            precision = own or "fp32"
        self.cache_dir = _programs.absolute(cache_dir)
        self.threads = threads
        given = os.path.abspath(os.path.expanduser(os.fsdecode(specific_model_path))) if specific_model_path else None
        find, dim = self._way(weights, self.cache_dir, local_files_only, given)
        length = count_of("max_length", max_length, 1 << 30)
        if given is not None and not length:  # errors then name this folder, not the one made from it
            length = max_context(given)
        folder = find()
        kept = dimensions_of(dimensions) or _truncate_dim(folder)
        self._size = min(kept, dim) if kept else dim
        self._tasks = _TASKS_OF.get((_programs.find(weights) or {"name": weights})["name"], ())
        self._make = partial(
            _Model._found, find, folder, self.cache_dir, given=given, threads=threads, memory=memory, isa=None,
            long="truncate", precision=precision, batch_tokens=0,
            max_length=length or max_context(folder),
            dimensions=dimensions_of(dimensions), normalize=normalize, prompt="")  # FastEmbed has none
        self._of_task: dict[int | None, _Model] = {}
        task = _PASSAGE if self._tasks else None
        self.model = self._of_task[task] = self._made(task, lazy_load)

    def _made(self, task: int | None, lazy_load: bool) -> _Model:
        model = self._make(lazy_load=lazy_load, task=None if task is None else self._tasks[task])
        model.model_name = self.model_name
        return model

    def _for_task(self, task: int | None) -> _Model:
        """The model for a task_id; None: the default. A task that was not asked for before is opened at its use."""
        if task is None:
            return self.model
        if not self._tasks:
            raise UsageError(f"task_id is {task!r}, and model {self.model_name} has no tasks")
        if isinstance(task, bool) or not isinstance(task, int) or not 0 <= task < len(self._tasks):
            raise UsageError(f"task_id is {task!r}; of {self.model_name} it is " +
                             ", ".join(f"{i} ({name})" for i, name in enumerate(self._tasks)))
        if task not in self._of_task:
            self._of_task[task] = self._made(task, True)
        return self._of_task[task]

    @classmethod
    def _way(cls, name: str, cache_dir: str | None, offline: bool, path: str | None) -> tuple[Callable[[], str], int]:
        """(a function that finds the model's files, pooled and normalized as with FastEmbed; its vectors' length)"""
        custom = next((c for c in cls._custom_models if c.description.model.lower() == name.lower()), None)
        entry = None if custom else _programs.find(name)
        if custom is None and entry is None:
            raise UsageError(f"Model {name} is not supported in TextEmbedding. Please check the supported models "
                             "using `TextEmbedding.list_supported_models()`")
        if path is not None and not os.path.isdir(path):
            raise NotFoundError(f"Could not find the folder {path} of model {name}")
        if custom is None:
            assert entry is not None
            dim, pooling = int(entry["dim"]), entry["pooling"].upper()
            normalization = entry["normalize"] and entry["name"].lower() not in _UNNORMALIZED
            if path is None and normalization != entry["normalize"]:
                return partial(_custom.fetched_with, entry["name"], offline, pooling, normalization, dim, cache_dir), dim
            if path is None:
                return partial(_programs.folder, name, cache_dir, offline), dim
            if pooling not in ("CLS", "MEAN"):
                return partial(_programs.folder, path, cache_dir, offline), dim
            return partial(_custom.folder_with, path, pooling, normalization, dim, cache_dir), dim
        dim, source = custom.description.dim, custom.description.sources.hf
        if path is None and source is None:
            raise UnsupportedError(f"Model {name} has no source except a url, which names ONNX files")
        if path is None:
            assert source is not None
            return partial(_custom.fetched_with, source, offline, custom.pooling, custom.normalization, dim,
                           cache_dir), dim
        return partial(_custom.folder_with, path, custom.pooling, custom.normalization, dim, cache_dir), dim

    # ---- the registry ----

    @classmethod
    def _descriptions(cls) -> list[_Description]:
        entries = {entry["name"]: entry for entry in _programs.registry()}
        listed = [_of_entry(entry) for entry in entries.values() if entry["refused"] is None]
        listed += [replace(_of_entry(entries[same]), model=name) for name, (same, _) in _ONNX_OF.items()]
        return listed + [custom.description for custom in cls._custom_models]

    @classmethod
    def list_supported_models(cls) -> list[dict[str, Any]]:
        """A dict for each model: model, sources, model_file, description, license, size_in_GB, additional_files, dim,
        tasks."""
        return [asdict(description) for description in cls._descriptions()]

    @classmethod
    def get_embedding_size(cls, model_name: str) -> int:
        """Floats in a vector of a model; ValueError if the name is unknown."""
        descriptions = cls._descriptions()
        entry = _programs.find(_weights_of(model_name)[0])
        wanted = (entry["name"] if entry else model_name).lower()
        for description in descriptions:
            if description.model.lower() == wanted:
                return description.dim
        raise UsageError(f"Embedding size for model {model_name} was None. Available model names: "
                         f"{[description.model for description in descriptions]}")

    @property
    def embedding_size(self) -> int:
        """Floats in a vector."""
        return self._size

    @classmethod
    def add_custom_model(cls, model: str, pooling: PoolingType | str, normalization: bool, sources: ModelSource,
                         dim: int, model_file: str = "model.safetensors", description: str = "", license: str = "",
                         size_in_gb: float = 0.0, additional_files: list[str] | None = None,
                         output_name: str | None = None) -> None:
        """Registers a model under a name. sources: an object with .hf, FastEmbed's or this module's. model_file,
        additional_files and output_name are about ONNX files; of these output_name is refused."""
        pooled = str(getattr(pooling, "value", pooling)).upper()
        if any(known.model.lower() == model.lower() for known in cls._descriptions()):
            raise UsageError(f"Model {model} is already registered in TextEmbedding, if you still want to add this "
                             "model, please use another model name")
        if pooled not in ("CLS", "MEAN"):
            raise UnsupportedError(f"pooling {pooled} of model {model} is not supported; CLS and MEAN are")
        if output_name is not None:
            raise UnsupportedError(f"output_name {output_name!r} of model {model} names an output of an ONNX file; "
                                   "vecmill reads safetensors or pytorch_model.bin")
        told = _Description(model=model, sources=ModelSource(hf=sources.hf, url=sources.url), model_file=model_file,
                            description=description, license=license, size_in_GB=size_in_gb,
                            additional_files=additional_files or [], dim=dim)
        cls._custom_models.append(_Custom(told, pooled, normalization))

    # ---- embedding ----

    def embed(self, documents: str | Iterable[str], batch_size: int = 256, parallel: int | None = None, *,
              on_error: str = "raise", progress: bool = False, task_id: int | None = None) -> Iterator[np.ndarray]:
        """Yields a float32 array of shape (dim,) for each document, in order. A generator: nothing happens until it is
        iterated.

        documents:  a str or an iterable of str; it is read as the vectors are consumed
        batch_size: documents computed together in this process, at most; the vectors do not depend on it
        parallel:   None: this process, with its threads; n: n worker processes; 0: as many as this cgroup's
                    processors and memory allow. A str, or a list shorter than batch_size, is computed in this process
        on_error:   "raise": DocumentError at the position of a document that fails; "skip": zeros there
        progress:   shows a bar, if tqdm is installed
        task_id:    of jina-embeddings-v3: 0 retrieval.query, 1 retrieval.passage (default), 2 separation,
                    3 classification, 4 text-matching. Each task that is used has a session of its own: the weights
                    are shared, working memory is not

        A worker may be killed at any moment: nothing is lost, doubled or changed. No `if __name__ == "__main__"` is
        needed. A slow consumer costs no memory beyond plan().
        """
        texts, workers = where(documents, batch_size, parallel)
        yield from self._for_task(task_id).stream(texts, workers=workers, batch_size=batch_size, on_error=on_error,
                                                  progress=progress)

    async def aembed(self, documents: str | Iterable[str], batch_size: int = 256, parallel: int | None = None, *,
                     on_error: str = "raise", task_id: int | None = None) -> AsyncIterator[np.ndarray]:
        """As embed(), for asyncio: `async for vector in model.aembed(texts)`."""
        texts, workers = where(documents, batch_size, parallel)
        async for row in self._for_task(task_id).astream(texts, workers=workers, batch_size=batch_size,
                                                         on_error=on_error):
            yield row

    def query_embed(self, query: str | Iterable[str], **kwargs: Any) -> Iterator[np.ndarray]:
        """As embed(), of jina-embeddings-v3 with its task for queries: no prefix is added, as FastEmbed adds none."""
        if self._tasks:
            kwargs["task_id"] = _QUERY
        yield from self.embed(query, **kwargs)

    def passage_embed(self, texts: Iterable[str], **kwargs: Any) -> Iterator[np.ndarray]:
        """As embed(): no prefix is added, as FastEmbed adds none."""
        if self._tasks:
            kwargs["task_id"] = _PASSAGE
        yield from self.embed(texts, **kwargs)

    def token_count(self, texts: str | Iterable[str], batch_size: int = 1024) -> int:
        """Tokens of the texts, special ones included, after the cut at the maximum length."""
        return self.model.count_tokens(where(texts, batch_size, None)[0])

    def plan(self, parallel: int = 0) -> dict[str, Any]:
        """The memory of embed(parallel=...), before the run: see Embedder.plan()."""
        return self.model.plan(parallel)
