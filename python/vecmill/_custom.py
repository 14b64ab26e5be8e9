"""Models that FastEmbed's face adds by hand: a folder whose pooling and normalization are as the caller says.

What a model does is decided by its files, for vecmill as for sentence-transformers. So a model with another say
gets a folder of its own in the cache: links to the model's files, and a modules.json and 1_Pooling/config.json
with the caller's words.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile

_OURS = ("modules.json", "1_Pooling", "vecmill.json")


def _modules(normalize: bool) -> list[dict[str, object]]:
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling")] + ([("2_Normalize", "Normalize")] if normalize else [])
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


def folder_with(model_dir: str, pooling: str, normalize: bool, dim: int, cache_dir: str) -> str:
    """A folder like model_dir, pooled and normalized as said; made once, and found again."""
    source = os.path.realpath(model_dir)
    names = sorted(name for name in os.listdir(source) if name not in _OURS)
    key = hashlib.sha256(json.dumps([source, names, pooling, normalize, dim]).encode()).hexdigest()[:24]
    place = os.path.join(cache_dir, "custom", key)
    if os.path.isdir(place):
        return place
    os.makedirs(os.path.dirname(place), exist_ok=True)
    made = tempfile.mkdtemp(prefix=".new-", dir=os.path.dirname(place))
    try:
        for name in names:
            os.symlink(os.path.join(source, name), os.path.join(made, name))
        _write(made, "modules.json", _modules(normalize))
        os.mkdir(os.path.join(made, "1_Pooling"))
        _write(made, os.path.join("1_Pooling", "config.json"), _pooling(pooling, dim))
        os.chmod(made, 0o755)
        os.rename(made, place)
    except BaseException as why:
        shutil.rmtree(made)
        if not isinstance(why, OSError) or not os.path.isdir(place):  # else another process was quicker
            raise
    return place
