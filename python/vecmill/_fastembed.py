"""What FastEmbed's classes have in common: arguments that all constructors take, its rule for the length, and which
documents are computed in this process."""

from __future__ import annotations

import enum
import json
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from vecmill import _custom, _documents
from vecmill._errors import NotFoundError, UnsupportedError, UsageError

_CPU = "CPUExecutionProvider"


class Device(str, enum.Enum):
    """Where to compute. This is a CPU engine: AUTO is CPU, and CUDA is refused."""

    CPU = "cpu"
    CUDA = "cuda"
    AUTO = "auto"


class PoolingType(str, enum.Enum):
    """How a document's token vectors become one. CLS and MEAN are supported, the others are refused."""

    CLS = "CLS"
    MEAN = "MEAN"
    LAST_TOKEN = "LAST_TOKEN"
    DISABLED = "DISABLED"


@dataclass(frozen=True)
class ModelSource:
    """Where a model's files are: hf, an `org/name` of the hub. A url, FastEmbed's archive of ONNX files, is not
    read."""

    hf: str | None = None
    url: str | None = None

    def __post_init__(self) -> None:
        if self.hf is None and self.url is None:
            raise ValueError(f"At least one source should be set, current sources: hf={self.hf}, url={self.url}")


def positive(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 30 else None


_POSITIONS_AFTER_PAD = ("roberta", "xlm-roberta", "camembert", "mpnet")


def max_context(model_dir: str) -> int:
    """FastEmbed's rule for the length in tokens: the smaller of model_max_length and max_length in
    tokenizer_config.json, of those that are positive integers. Here it is never more than the position table has; with
    FastEmbed that fails in the middle of a job. UsageError (a ValueError) if neither is set."""
    if _custom.is_table(model_dir):
        return 512  # of FastEmbed's static embeddings, whatever their files say
    files = {}
    for name in ("config.json", "tokenizer_config.json"):
        try:
            with open(os.path.join(model_dir, _custom.encoder_folder(model_dir), name), encoding="utf-8") as file:
                files[name] = json.load(file)
            if not isinstance(files[name], dict):
                raise ValueError("it is not a JSON object")
        except (OSError, ValueError) as why:
            reason = why.strerror if isinstance(why, OSError) else why
            raise NotFoundError(f"Could not read {name} in {model_dir}: {reason}") from why
    said = files["tokenizer_config.json"]
    lengths = [n for n in (positive(said.get("model_max_length")), positive(said.get("max_length"))) if n]
    if not lengths:
        raise UsageError(f"Could not determine the maximum context length for {model_dir}. Set a positive "
                         "`model_max_length` or `max_length` in tokenizer_config.json.")
    config = files["config.json"]
    has_table = config.get("position_biased_input") is not False  # DeBERTa's are relative, and have no end
    table = positive(config.get("max_position_embeddings")) if has_table else None
    if table and config.get("model_type") in _POSITIONS_AFTER_PAD:
        table -= 2  # the padding's id, which is 1, and one more (docs/MODEL.md)
    return min([*lengths, table] if table else lengths)


def check_device(providers: Sequence[Any] | None, cuda: bool | Device | str, device_ids: list[int] | None) -> None:
    asked = cuda is True or cuda == Device.CUDA
    if asked and providers is not None:
        warnings.warn(f"`cuda` and `providers` are mutually exclusive parameters, cuda: {cuda}, providers: "
                      f"{providers}; `providers` is used", UserWarning, stacklevel=3)
    names = [p if isinstance(p, str) else p[0] for p in providers or ()]
    if providers is None and asked:
        names = ["CUDAExecutionProvider"]
    for name in names:
        if name != _CPU:
            raise UnsupportedError(f"Provider {name} is not available. Available providers: ['{_CPU}']")
    if device_ids is not None:
        warnings.warn(f"`device_ids` ({device_ids}) has no effect: vecmill computes on the CPU", UserWarning,
                      stacklevel=3)


def check_kwargs(face: str, kwargs: dict[str, Any]) -> None:
    for name in ("enable_cpu_mem_arena", "mmap"):
        if kwargs.pop(name, None) is not None:
            warnings.warn(f"`{name}` has no effect: weights are always mapped, and working memory is allocated "
                          "once", UserWarning, stacklevel=3)
    if kwargs:
        raise TypeError(f"{face} has no argument {', '.join(map(repr, kwargs))}")


def where(documents: Any, batch_size: int, parallel: int | None,
          iterable: Callable[[Any], Iterable[Any]] = _documents.texts_of) -> tuple[Iterable[Any], int | None]:
    """(documents as an iterable, workers). Few documents are computed in this process, as with FastEmbed."""
    if batch_size < 1:
        raise UsageError(f"batch_size must be >= 1, got {batch_size}")
    few = isinstance(documents, str) or (isinstance(documents, list) and len(documents) < batch_size)
    return iterable(documents), None if few else parallel
