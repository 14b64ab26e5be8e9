"""Documents in, results out, in order: splits a stream of documents into calls of the library.

Each generator here yields lists of results as they become ready, and an empty list after a second without one, so
that its caller keeps control. It reads ahead only what the library holds (for a pool its queue, a number in the
memory plan) and one piece of at most PIECE_TEXTS documents or PIECE_CHARS characters. While the consumer is slow, the
source is not read.

A result is a float32 row of shape (dim,), or what a model of other results makes, or a Failure at the position of a
document that failed. Rows are views of the array into which the library writes: nothing is copied.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from vecmill import _core
from vecmill._errors import LimitError

PIECE_TEXTS = 64
PIECE_CHARS = 1 << 16
ROWS = 64  # this many are allocated together; a row that is kept keeps its neighbours alive
MADE = 4  # this many results without a fixed size are taken together
WAIT_MS = 1000


def held_bytes(cut: int | None, texts: int = 1) -> int:
    """Bytes that a stream holds in addition to its pool and its results: a piece, and the texts of a document that were
    cut, which of_pool passes on in UTF-8. A character takes at most 4 bytes in either form. Texts that are not cut are
    the caller's."""
    return 4 * (PIECE_CHARS + 2 * texts * (cut or 0))


class Failure(NamedTuple):
    """The result of a document that failed."""

    reason: str


Result = Any  # or a Failure
Made = tuple[int, int, bytearray | str]  # as of _core.Session.compute


def pieces(documents: Iterable[Any], most_texts: int, most_chars: int,
           read: Callable[[int, Any], tuple[Any, int]]) -> Iterator[list[Any]]:
    """Lists of documents, each as long as its bounds allow. read: checks and cuts one; returns it and its characters."""
    piece: list[Any] = []
    chars = 0
    for i, given in enumerate(documents):
        document, length = read(i, given)
        piece.append(document)
        chars += length
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


class Feed:
    """Submits documents to a pool while it has room, and takes results in order. One that is too large for the pool
    (LimitError) is a failure at its position.

    source: lists of documents; an empty list is not the end
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
        refused = self._pop_refused()
        if refused is not None:
            rows[filled] = 0
            return 1, [(0, refused)]
        n, failures = self._pool.take(rows[:filled + self._room(len(rows) - filled)], filled, self._wait_ms())
        self._taken += n
        return n, [(index, reason) for index, _, _, reason in failures]

    def take_made(self) -> list[Made]:
        """As take(), at most MADE results of a pool whose results have no fixed size."""
        refused = self._pop_refused()
        if refused is not None:
            return [(_core.E_LIMIT, 0, refused)]
        made = self._pool.take_made(self._room(MADE), self._wait_ms())
        self._taken += len(made)
        return made

    def _pop_refused(self) -> str | None:
        """Why the next document in order was refused, if it was."""
        if not self._refused or self._refused[0][0] != self._taken:
            return None
        self._taken += 1
        return self._refused.popleft()[1]

    def _room(self, most: int) -> int:
        """How many may be taken: none beyond the next document that was refused."""
        return min(most, self._refused[0][0] - self._taken) if self._refused else most

    def _wait_ms(self) -> int:
        return WAIT_MS if self.idle and self._taken < self._given else 0


def rows_of_pool(dim: int) -> Callable[[Feed], list[Result]]:
    """Takes rows, of of_pool."""
    rows, filled = np.empty((ROWS, dim), np.float32), 0

    def take(feed: Feed) -> list[Result]:
        nonlocal rows, filled
        if filled == ROWS:
            rows, filled = np.empty((ROWS, dim), np.float32), 0
        n, failures = feed.take(rows, filled)
        results: list[Result] = list(rows[filled:filled + n])
        for index, reason in failures:
            results[index] = Failure(reason)
        filled += n
        return results
    return take


def of_pool(pool: _core.Pool, take: Callable[[Feed], list[Result]], source: Iterator[list[Any]]) -> Iterator[list[Result]]:
    """Submits to a pool and takes from it; closes it at the end, also after an exception. A ModelError after the last
    result means that the model's pack was damaged during the run (vecmill_pool_verify)."""
    feed = Feed(pool, source)
    try:
        while True:
            feed.fill()
            results = take(feed)
            if results or feed.idle:
                yield results
            if feed.ended:
                pool.verify()
                return
    finally:
        pool.close()
