"""Late interaction: documents that are a vector for each token. No model is needed here."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecmill import _core


def maxsim(query: Any, rows: Any, offsets: Any, *, threads: int = 1) -> NDArray[np.float32]:
    """The MaxSim score of a query with each document, float32 [documents]: the sum over the query's vectors of the
    greatest dot product with a vector of the document.

    query    [q, dim]
    rows     [n, dim]: the vectors of all documents, OUTPUT.npy of a late-interaction model. float32 and contiguous,
             or a copy is made; np.load(..., mmap_mode="r") is used as it is
    offsets  [documents + 1]: document d has rows[offsets[d]:offsets[d + 1]]; OUTPUT.offsets.npy
    threads  that compute together; no bit of a score depends on their number

    Of a document without vectors the score is -inf. ValueError: shapes that do not fit together."""
    query = np.require(query, np.float32, ["C", "A"])
    rows = np.require(rows, np.float32, ["C", "A"])
    if query.ndim != 2 or rows.ndim != 2 or query.shape[1] != rows.shape[1]:
        raise ValueError(f"query has the shape {query.shape} and rows {rows.shape}, [q, dim] and [n, dim] are needed")
    starts = np.asarray(offsets)
    if starts.ndim != 1 or starts.size == 0 or starts.dtype.kind not in "iu":
        raise ValueError(f"offsets are {starts.dtype} of the shape {starts.shape}, whole numbers "
                         f"of the shape [documents + 1] are needed")
    if starts.dtype.kind == "i" and (starts < 0).any():
        raise ValueError(f"offsets hold {starts.min()}, which is no row")
    starts = np.require(starts, np.uint64, ["C", "A"])
    scores = np.empty(len(starts) - 1, np.float32)
    _core.maxsim(query, query.shape[1], rows, starts, scores, threads)
    return scores
