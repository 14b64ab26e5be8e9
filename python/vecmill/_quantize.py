"""Vectors as they are stored: float32 as the narrower numbers that databases keep, and back. No model is needed."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vecmill import _core

Precision = Literal["float32", "float16", "int8", "uint8", "binary", "ubinary"]

# In the order of vecmill_dtype; bits are in bytes.
_TYPES: dict[str, Any] = {"float32": np.float32, "float16": np.float16, "int8": np.int8, "uint8": np.uint8,
                          "binary": np.int8, "ubinary": np.uint8}


def _number(precision: str) -> int:
    if precision not in _TYPES:
        raise ValueError(f"precision {precision!r} is none of {', '.join(_TYPES)}")
    return list(_TYPES).index(precision)


def _columns(precision: str, dim: int) -> int:
    return -(-dim // 8) if precision.endswith("binary") else dim


def _rows(name: str, array: Any, kind: Any) -> NDArray[Any]:
    rows = np.require(array, kind, ["C", "A"])
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise ValueError(f"{name} has the shape {rows.shape}, [n, dim] is needed")
    return rows


def _ranges(ranges: Any, dim: int) -> NDArray[np.float32]:
    ranges = np.require(ranges, np.float32, ["C", "A"])
    if ranges.shape != (2, dim):
        raise ValueError(f"ranges have the shape {ranges.shape}, (2, {dim}) is needed")
    return ranges


def quantization_ranges(embeddings: Any) -> NDArray[np.float32]:
    """Least and greatest value of each component, float32 [2, dim]: what int8 and uint8 need, and what queries must
    share with the documents. `vecmill embed --dtype int8` writes them to OUTPUT.ranges.npy.

    ValueError: fewer than two embeddings, or one that is not finite."""
    rows = _rows("embeddings", embeddings, np.float32)
    ranges = np.empty((2, rows.shape[1]), np.float32)
    _core.ranges(rows, rows.shape[1], ranges)
    return ranges


def quantize_embeddings(embeddings: Any, precision: Precision, ranges: Any = None,
                        calibration_embeddings: Any = None) -> NDArray[Any]:
    """embeddings [n, dim] as `precision` says, by the rules of sentence-transformers' function of this name.

    float16           numpy's astype
    int8, uint8       [n, dim]: the range of each component in 256 equal steps. The ranges are `ranges` [2, dim], else
                      those of `calibration_embeddings`, else those of the embeddings, which queries do not share
    binary, ubinary   [n, ceil(dim / 8)]: the bits x > 0, as numpy.packbits has them; of binary each byte less 128

    What is computed is float32: float64 is rounded first. ValueError: one embedding and no ranges for it; ranges that
    are no ranges; NaN for bytes; a finite value that float16 does not reach."""
    number = _number(precision)
    rows = _rows("embeddings", embeddings, np.float32)
    n, dim = rows.shape
    given = None
    if precision.endswith("int8") and n > 0:
        if ranges is None:
            ranges = quantization_ranges(embeddings if calibration_embeddings is None else calibration_embeddings)
        given = _ranges(ranges, dim)
    out = np.empty((n, _columns(precision, dim)), _TYPES[precision])
    if n > 0:
        _core.quantize(rows, dim, number, given, out)
    return out


def dequantize_embeddings(rows: Any, precision: Precision, ranges: Any = None,
                          dim: int | None = None) -> NDArray[np.float32]:
    """What the numbers of quantize_embeddings stand for, float32 [n, dim]: of int8 and uint8 the middle of the step,
    by `ranges` [2, dim]; of bits 1 and -1, `dim` of them (default: all).

    ValueError: rows of another type or shape, ranges missing."""
    number = _number(precision)
    stored = np.asarray(rows)
    if stored.dtype != _TYPES[precision]:
        raise ValueError(f"rows are {stored.dtype}, of {precision} they are {np.dtype(_TYPES[precision])}")
    stored = _rows("rows", stored, stored.dtype)
    n, columns = stored.shape
    dim = dim if dim is not None else columns * 8 if precision.endswith("binary") else columns
    if dim < 1 or _columns(precision, dim) != columns:
        raise ValueError(f"rows have {columns} columns, {dim} components of {precision} take {_columns(precision, dim)}")
    given = None
    if precision.endswith("int8"):
        if ranges is None:
            raise ValueError(f"{precision} needs ranges of the shape (2, {dim}), and there are none")
        given = _ranges(ranges, dim)
    vectors = np.empty((n, dim), np.float32)
    if n > 0:
        _core.dequantize(stored, dim, number, given, vectors)
    return vectors
