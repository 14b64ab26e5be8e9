"""Custom models of TextEmbedding: a folder whose pooling and normalization are those that the caller chose.

For vecmill, as for sentence-transformers, a model's files define what it does. A model with other settings
therefore gets a folder of its own in the cache: links to the model's files, and a modules.json and
1_Pooling/config.json with the caller's settings.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator

from vecmill import _core, _programs
from vecmill._errors import VecmillError

_OURS = ("modules.json", "1_Pooling", "vecmill.json")


def encoder_folder(model_dir: str) -> str:
    """Where in a model's folder the encoder's and the tokenizer's files are: the path of the first module of
    modules.json, "" for the folder itself (docs/MODEL.md)."""
    try:
        with open(os.path.join(model_dir, "modules.json"), encoding="utf-8") as file:
            path = json.load(file)[0].get("path", "")
    except (OSError, ValueError, LookupError, AttributeError, TypeError):  # the library reports the fault
        return ""
    return path if isinstance(path, str) and os.path.isdir(os.path.join(model_dir, path)) else ""


def is_table(model_dir: str) -> bool:
    """Whether it is a static embedding, which has no pooling to choose (docs/MODEL.md)."""
    try:
        with open(os.path.join(model_dir, "modules.json"), encoding="utf-8") as file:
            if str(json.load(file)[0].get("type", "")).endswith(".StaticEmbedding"):
                return True
    except (OSError, ValueError, LookupError, AttributeError, TypeError):
        pass
    try:
        with open(os.path.join(model_dir, "config.json"), encoding="utf-8") as file:
            return bool(json.load(file).get("model_type") == "model2vec")
    except (OSError, ValueError, AttributeError):
        return False


def _modules(encoder: str, table: bool, normalize: bool) -> list[dict[str, object]]:
    kinds = [(encoder, "StaticEmbedding")] if table else [(encoder, "Transformer"), ("1_Pooling", "Pooling")]
    if normalize:
        kinds.append((f"{len(kinds)}_Normalize", "Normalize"))
    return [{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (path, kind) in enumerate(kinds)]


def _pooling(pooling: str, dim: int) -> dict[str, object]:
    return {
        "word_embedding_dimension": dim,
        "pooling_mode_cls_token": pooling == "CLS",
        "pooling_mode_mean_tokens": pooling == "MEAN",
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }


def _write(folder: str, name: str, content: object) -> None:
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)


@contextlib.contextmanager
def _made(parent: str) -> Iterator[str]:
    """A new folder in `parent`. On failure it is removed, as are the parents that were made for it."""
    missing = parent
    while not os.path.isdir(os.path.dirname(missing)):
        missing = os.path.dirname(missing)
    is_new = not os.path.isdir(parent)
    os.makedirs(parent, exist_ok=True)
    made = tempfile.mkdtemp(prefix=".new-", dir=parent)
    try:
        yield made
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        folder = parent
        with contextlib.suppress(OSError):  # another process has put a file there
            while is_new:
                os.rmdir(folder)
                folder, is_new = os.path.dirname(folder), folder != missing
        raise


def _check(made: str, source: str) -> None:
    """Checks that this is a model: its configuration, and the names and shapes of its weights. The message names
    the caller's folder."""
    with tempfile.TemporaryDirectory(prefix="vecmill-") as cache:
        try:
            _core.plan(_programs.native(made) or made, cache_dir=_programs.native(cache), workers=1,
                       worker_path=_programs.native(_programs.WORKER))
        except VecmillError as why:
            names = os.listdir(source)
            onnx = any(name.endswith(".onnx") for name in [*names, *_listed(os.path.join(source, "onnx"))])
            more = ": it holds ONNX files, and vecmill reads safetensors or pytorch_model.bin" if onnx and not any(
                name.endswith((".safetensors", ".bin", ".index.json")) for name in names) else ""
            raise type(why)(str(why).replace(made, source) + more) from None


def _listed(folder: str) -> list[str]:
    return os.listdir(folder) if os.path.isdir(folder) else []


def fetched_with(name: str, offline: bool, pooling: str, normalize: bool, dim: int, cache_dir: str | None) -> str:
    """folder_with() of a model by its name."""
    return folder_with(_programs.folder(name, cache_dir, offline), pooling, normalize, dim, cache_dir)


def folder_with(model_dir: str, pooling: str, normalize: bool, dim: int, cache_dir: str | None) -> str:
    """A folder like model_dir with this pooling and normalization. It is made once and then found again.
    ModelError: model_dir is not a model; no folder is left."""
    source = os.path.realpath(model_dir)
    names = sorted(name for name in os.listdir(source) if name not in _OURS)
    key = hashlib.sha256(json.dumps([source, names, pooling, normalize, dim]).encode()).hexdigest()[:24]
    place = os.path.join(cache_dir or os.path.abspath(_programs.default_cache()), "custom", key)
    if os.path.isdir(place):
        return place
    with _made(os.path.dirname(place)) as made:
        for name in names:
            os.symlink(os.path.join(source, name), os.path.join(made, name))
        table = is_table(source)
        _write(made, "modules.json", _modules(encoder_folder(source), table, normalize))
        if not table:
            os.mkdir(os.path.join(made, "1_Pooling"))
            _write(made, os.path.join("1_Pooling", "config.json"), _pooling(pooling, dim))
        _check(made, source)
        os.chmod(made, 0o755)
        try:
            os.rename(made, place)
        except OSError:
            if not os.path.isdir(place):
                raise
            shutil.rmtree(made)  # another process was faster
    return place
