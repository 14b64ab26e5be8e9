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
from typing import Any, NamedTuple

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


class Feed:
    """Submits texts to a pool while it has room, and takes results in order. A text that is too large for the pool
    (LimitError) is a failure at its position.

    source: lists of texts; an empty list is not the end
    """

    def __init__(self, pool: _core.Pool, source: Iterator[list[Any]]):
        self.more = True  # the source has not ended
        self._pool, self._source = pool, source
        self._piece: list[Any] = []
        self._at = self._given = self._taken = 0  # position in the piece; documents submitted; documents taken
        self._refused: collections.deque[tuple[int, str]] = collections.deque()  # (documents submitted before it, why)

    def fill(self) -> None:
        """Submits what the pool has room for, at most the rest of one list."""
        if self.more and self._at == len(self._piece):
            found = next(self._source, None)
            self._piece, self._at, self.more = found or [], 0, found is not None
        while self._at < len(self._piece):
            try:
                n = self._pool.submit(self._piece, self._at)
            except LimitError as why:
                self._refused.append((self._given, str(why)))
                n = 1
            self._at += n
            self._given += n
            if n == 0:
                break

    @property
    def idle(self) -> bool:
        """Nothing can be submitted: the pool is full, or the source has ended."""
        return self._at < len(self._piece) or not self.more

    @property
    def ended(self) -> bool:
        """All documents of the source were taken."""
        return not self.more and self._taken == self._given

    def take(self, rows: np.ndarray, filled: int) -> tuple[int, list[tuple[int, str]]]:
        """Writes results that are ready to rows[filled:]; when idle, waits for one. Returns their number, and for each
        that failed its index among them and the reason. Its row is zero."""
        if self._refused and self._refused[0][0] == self._taken:
            rows[filled] = 0
            self._taken += 1
            return 1, [(0, self._refused.popleft()[1])]
        if self._refused:
            rows = rows[:filled + self._refused[0][0] - self._taken]
        waits = self.idle and self._taken < self._given
        n, failures = self._pool.take(rows, filled, WAIT_MS if waits else 0)
        self._taken += n
        return n, [(index, reason) for index, _, _, reason in failures]


def of_pool(pool: _core.Pool, dim: int, source: Iterator[list[str]]) -> Iterator[list[Result]]:
    """Submits to a pool and takes from it; closes it at the end, also after an exception. A ModelError after the last
    row means that the model's pack was damaged during the run (vecmill_pool_verify)."""
    feed = Feed(pool, source)
    rows, filled = np.empty((ROWS, dim), np.float32), 0
    try:
        while True:
            feed.fill()
            if filled == ROWS:
                rows, filled = np.empty((ROWS, dim), np.float32), 0
            n, failures = feed.take(rows, filled)
            results: list[Result] = list(rows[filled:filled + n])
            for index, reason in failures:
                results[index] = Failure(reason)
            filled += n
            if results or feed.idle:
                yield results
            if feed.ended:
                pool.verify()
                return
    finally:
        pool.close()
