"""vecmill for LangChain, in place of its FastEmbedEmbeddings.

    from vecmill.langchain import VecmillEmbeddings

Needs langchain-core, which is not installed with vecmill.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings

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
