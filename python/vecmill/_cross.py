"""CrossEncoder: vecmill's own interface to models that score pairs of texts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from vecmill import _core, _documents, _stream
from vecmill._errors import UsageError
from vecmill._model import Model, count_of


class Scorer(Model):
    """A model whose documents are pairs of texts. A result is a row of scores, one for each label."""

    def _held(self) -> dict[str, int]:
        return {"beside_bytes": _stream.held_bytes(self._cut, texts=2), "beside_rows": _stream.ROWS}

    def _iterable(self, documents: Any) -> Iterable[Any]:
        return _documents.pairs_of(documents)

    def _read(self, index: int, given: Any) -> tuple[Any, int]:
        return _documents.pair_of(self._cut, index, given)


class CrossEncoder(Scorer):
    """A model that scores pairs of a query and a document, on this machine's processors; a classifier of pairs too.

    model:      `org/name` (fetched at the first use), or a folder in Hugging Face layout without modules.json, whose
                architecture ends in ForSequenceClassification
    raw_scores: True: logits; False: what the model's own activation makes of them, as with sentence-transformers
    long:       what is done with pairs over max_length tokens: "truncate", the longer text first, or "error"
    cache_dir, precision, threads, max_length, batch_tokens, isa, memory, local_files_only, lazy_load: as of Embedder

    Methods are those of sentence-transformers' CrossEncoder; and threads, fork(), copies, pickles and errors are as of
    Embedder.
    """

    def __init__(self, model: str, *, cache_dir: str | os.PathLike[str] | None = None, precision: str = "auto",
                 threads: int | None = None, max_length: int | None = None, batch_tokens: int | None = None,
                 long: str = "truncate", raw_scores: bool = False, isa: str | None = None,
                 memory: int | str | None = None, local_files_only: bool = False, lazy_load: bool = False):
        find, folder = self._look_up(model, cache_dir, local_files_only)
        self._begin(find, folder, threads, memory, {
            "isa": isa,
            "precision": "fp32" if precision == "auto" else precision,
            "long": long,
            "batch_tokens": count_of("batch_tokens", batch_tokens, _core.MAX_BATCH_TOKENS),
            "max_length": count_of("max_length", max_length, 1 << 30),
            "kind": "score",
            "raw_scores": raw_scores,
        }, lazy_load)

    @property
    def labels(self) -> list[str]:
        """Names of a pair's scores, as config.json has them."""
        return list(self.facts["labels"])

    @property
    def num_labels(self) -> int:
        """How many scores a pair has."""
        return len(self.labels)

    def stream(self, pairs: Iterable[Any], *, parallel: int | None = None, batch_size: int = 256,
               on_error: str = "raise", progress: bool = False) -> Iterator[np.ndarray]:
        """Float32 scores of shape (num_labels,) for each pair, in order, lazily; arguments as of Embedder.stream(),
        parallel as its workers."""
        yield from self._each(pairs, parallel, batch_size, on_error, progress)

    def predict(self, inputs: Any, *, parallel: int | None = None, batch_size: int = 256, on_error: str = "raise",
                progress: bool = False) -> Any:
        """Scores of pairs, float32 [n]; of a model with several labels [n, num_labels]. Of one pair, which is no list
        of pairs: its score, or scores.

        inputs:   (query, document), or an iterable of such pairs
        parallel: None: in this process; n: in n workers; 0: as many as processors and memory allow
        """
        one = isinstance(inputs, (tuple, list)) and len(inputs) > 0 and isinstance(inputs[0], str)
        n = self.num_labels
        rows = list(self.stream([inputs] if one else inputs, parallel=parallel, batch_size=batch_size,
                                on_error=on_error, progress=progress))
        scores = np.stack(rows) if rows else np.empty((0, n), np.float32)
        if n == 1:
            scores = scores[:, 0]
        return scores[0] if one else scores

    def rank(self, query: str, documents: Iterable[str], top_k: int | None = None, return_documents: bool = False, *,
             parallel: int | None = None, batch_size: int = 256, on_error: str = "raise",
             progress: bool = False) -> list[dict[str, Any]]:
        """The documents, the best for the query first: dicts of corpus_id (a document's position), score, and with
        return_documents text. Of equal scores the earlier document comes first. With on_error="skip" a document that
        fails is left out.

        top_k: how many; None: all
        """
        if self.num_labels != 1:
            raise UsageError(f"{self.model_dir} has {self.num_labels} scores for a pair, which are no order: predict() "
                             "returns all")
        if top_k is not None and (not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 0):
            raise UsageError(f"top_k is {top_k!r}; it is a number from 0, or None")
        if on_error not in ("raise", "skip"):
            raise UsageError(f"on_error is {on_error!r}; it is 'raise' or 'skip'")
        texts = list(_documents.texts_of(documents))
        chunks = self.chunks(((query, text) for text in texts), parallel, batch_size)
        hits = []
        for i, result in enumerate(result for results in chunks for result in results):
            if not isinstance(result, _stream.Failure) or on_error == "raise":
                hits.append({"corpus_id": i, "score": float(self._kept(i, result, on_error)[0])})
        hits = sorted(hits, key=lambda hit: hit["score"], reverse=True)[:top_k]
        return [{**hit, "text": texts[int(hit["corpus_id"])]} for hit in hits] if return_documents else hits
