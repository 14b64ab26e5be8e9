"""Documents in, rows out, in order: splits a stream of texts into calls of the library.

Each generator here yields lists of results as they become ready, and an empty list after a second without one, so
that its caller keeps control. It reads ahead only what the library holds (for a pool its queue, a number in the
memory plan) and one piece of at most PIECE_TEXTS texts or PIECE_CHARS characters. While the consumer is slow, the
source is not read.

A result is a float32 row of shape (dim,), or a Failure at the position of a document that failed. Rows are views of
the array into which the library writes: nothing is copied.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from vecmill import _core, _documents
from vecmill._errors import LimitError

PIECE_TEXTS = 64
PIECE_CHARS = 1 << 16
ROWS = 64  # this many are allocated together; a row that is kept keeps its neighbours alive
WAIT_MS = 1000


def held_bytes(cut: int | None) -> int:
    """Bytes that a stream holds in addition to its pool and its ROWS: a piece, and a text that was cut, which of_pool
    passes on in UTF-8. A character takes at most 4 bytes in either form. Texts that are not cut are the caller's."""
    return 4 * (PIECE_CHARS + 2 * (cut or 0))


class Failure(NamedTuple):
    """The result of a document that failed."""

    reason: str


Result = np.ndarray | Failure


def pieces(texts: Iterable[str], most_texts: int, most_chars: int, cut: int | None) -> Iterator[list[str]]:
    """Lists of texts, each as long as its bounds allow. cut: texts are cut after this many characters, or None."""
    piece: list[str] = []
    chars = 0
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise _documents.refusal(i, text)
        if cut is not None and len(text) > cut:
            text = text[:cut]
        piece.append(text)
        chars += len(text)
        if len(piece) == most_texts or chars >= most_chars:
            yield piece
            piece, chars = [], 0
    if piece:
        yield piece


def words(status: int, tokens: int, max_length: int) -> str:
    """Why a document failed in a session, which returns no sentence of its own."""
    if status == _core.E_LIMIT:
        return f"{tokens} tokens or more, {max_length} are allowed"
    return _core.STATUSES[status][0]


def of_session(embed: Callable[[list[str], np.ndarray], list[tuple[int, int, int]]], dim: int, max_length: int,
               source: Iterable[list[str]]) -> Iterator[list[Result]]:
    """Computes piece by piece in this process. embed: a session's method, for one caller at a time."""
    for piece in source:
        rows = np.empty((len(piece), dim), np.float32)
        results: list[Result] = list(rows)
        for index, status, tokens in embed(piece, rows):
            results[index] = Failure(words(status, tokens, max_length))
        yield results


def of_pool(pool: _core.Pool, dim: int, source: Iterator[list[str]]) -> Iterator[list[Result]]:
    """Feeds a pool and takes from it, and closes it at the end, however that comes. A ModelError after the last row:
    the model's pack was damaged meanwhile (vecmill_pool_verify)."""
    piece: list[str] = []
    at = given = taken = 0  # of the piece; documents that went into the pool, and that came out
    refused: collections.deque[tuple[int, Failure]] = collections.deque()  # too large for it: given before them
    rows, filled = np.empty((ROWS, dim), np.float32), 0
    more = True
    try:
        while True:
            if more and at == len(piece):
                piece, at = next(source, []), 0
                more = bool(piece)
            while at < len(piece):
                try:
                    n = pool.submit(piece, at)
                except LimitError as why:
                    refused.append((given, Failure(str(why))))
                    at += 1
                    continue
                at += n
                given += n
                if n == 0:
                    break
            if filled == ROWS:
                rows, filled = np.empty((ROWS, dim), np.float32), 0
            idle = at < len(piece) or not more  # nothing to do but to wait
            n, failures = pool.take(rows, filled, WAIT_MS if idle and taken < given else 0)
            fresh: list[Result] = list(rows[filled:filled + n])
            for index, _, _, reason in failures:
                fresh[index] = Failure(reason)
            results: list[Result] = []
            for result in (*fresh, None):
                while refused and refused[0][0] == taken:
                    results.append(refused.popleft()[1])
                if result is not None:
                    results.append(result)
                    taken += 1
            filled += n
            if results or idle:
                yield results
            if not more and taken == given:
                pool.verify()
                return
    finally:
        pool.close()
