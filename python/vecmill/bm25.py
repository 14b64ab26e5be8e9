"""BM25's weights of words, which need no model: the numbers of FastEmbed's Qdrant/bm25."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecmill import _core

__all__ = ["Bm25"]

_BATCH = 256  # texts of one call into the library


class Bm25:
    """Sparse weights of documents and queries, for an index that knows how rare a word is (Qdrant's modifier idf).

    language          of the stemmer and the words that are left out
    k, b, avg_len     how soon further occurrences stop to count, how much a text's length counts, and the length, in
                      words, that counts as the middle one
    token_max_length  characters; longer words are left out
    disable_stemmer   words are taken as they are, and without stopwords none is left out
    stopwords         to leave out; None: the language's own, an empty list: none

    Each result is (indices, weights), int64 and float32 [n], indices ascending. ValueError: an option out of range, a
    language without a stemmer."""

    def __init__(self, language: str = "english", *, k: float = 1.2, b: float = 0.75, avg_len: float = 256.0,
                 token_max_length: int = 40, disable_stemmer: bool = False,
                 stopwords: Iterable[str] | None = None) -> None:
        self._options: dict[str, Any] = {
            "language": language, "k": k, "b": b, "avg_len": avg_len, "token_max_length": token_max_length,
            "disable_stemmer": disable_stemmer, "stopwords": None if stopwords is None else list(stopwords)}
        self._open()

    def _open(self) -> None:
        self._core = _core.Bm25(**self._options)
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return self._options

    def __setstate__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._open()

    def documents(self, texts: Iterable[str]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """The weights of each, in order."""
        return self._encode(texts, False)

    def queries(self, texts: Iterable[str]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """The words of each; all weights are 1."""
        return self._encode(texts, True)

    def token_count(self, texts: Iterable[str]) -> int:
        """Words of all texts, those left out among them."""
        return sum(n for _, _, n in self._encoded(texts, True))

    def _encoded(self, texts: Iterable[str], is_query: bool) -> Iterator[tuple[bytes, bytes, int]]:
        if isinstance(texts, str):
            texts = [texts]
        each = iter(texts)
        while batch := list(islice(each, _BATCH)):
            with self._lock:
                answers = self._core.encode(batch, is_query)
            yield from answers

    def _encode(self, texts: Iterable[str],
                is_query: bool) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        for indices, weights, _ in self._encoded(texts, is_query):
            yield np.frombuffer(indices, np.uint32).astype(np.int64), np.frombuffer(weights, np.float32)
