"""vecmill for LangChain, in place of its FastEmbedEmbeddings, and as a reranker.

    from vecmill.langchain import VecmillEmbeddings, VecmillRerank

Needs langchain-core, which is not installed with vecmill.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.embeddings import Embeddings
from pydantic import PrivateAttr

from vecmill._cross import CrossEncoder
from vecmill.text_embedding import TextEmbedding


class VecmillEmbeddings(Embeddings):
    """LangChain's Embeddings. Arguments are those of TextEmbedding and of its embed()."""

    def __init__(self, model_name: str = "BAAI/bge-small-en-v1.5", *, batch_size: int = 256,
                 parallel: int | None = None, **kwargs: Any):
        self.model = TextEmbedding(model_name, **kwargs)
        self.batch_size = batch_size
        self.parallel = parallel

    def _rows(self, texts: list[str]) -> Iterator[np.ndarray]:
        return self.model.embed(texts, batch_size=self.batch_size, parallel=self.parallel)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """A list of floats for each text, in order."""
        return [row.tolist() for row in self._rows(texts)]

    def embed_query(self, text: str) -> list[float]:
        """The vector of one text."""
        return self.embed_documents([text])[0]


class VecmillRerank(BaseDocumentCompressor):
    """LangChain's BaseDocumentCompressor: the documents that a cross-encoder finds best for a query, the best first, as
    copies whose metadata have its score as relevance_score.

    model:    a folder or `org/name`; further options are those of CrossEncoder
    top_n:    how many documents; None: all
    parallel: as of CrossEncoder.rank()
    """

    model: str
    top_n: int | None = 3
    parallel: int | None = None
    _encoder: CrossEncoder = PrivateAttr()

    def __init__(self, model: str, *, top_n: int | None = 3, parallel: int | None = None, **options: Any):
        super().__init__(model=model, top_n=top_n, parallel=parallel)  # type: ignore[call-arg] # pydantic makes it
        self._encoder = CrossEncoder(model, **options)

    def compress_documents(self, documents: Sequence[Document], query: str, callbacks: Any = None) -> list[Document]:
        """The best documents for a query."""
        hits = self._encoder.rank(query, [document.page_content for document in documents], self.top_n,
                                  parallel=self.parallel)
        return [self._with_score(documents[hit["corpus_id"]], hit["score"]) for hit in hits]

    @staticmethod
    def _with_score(document: Document, score: float) -> Document:
        return document.model_copy(update={"metadata": {**document.metadata, "relevance_score": score}})
