"""vecmill for LlamaIndex, in place of its FastEmbedEmbedding.

    from vecmill.llama_index import VecmillEmbedding

Needs llama-index-core, which is not installed with vecmill.
"""

from __future__ import annotations

import asyncio
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import PrivateAttr

from vecmill.text_embedding import TextEmbedding


class VecmillEmbedding(BaseEmbedding):
    """LlamaIndex's BaseEmbedding. Options are those of TextEmbedding; parallel is that of its embed()."""

    _model: TextEmbedding = PrivateAttr()
    _parallel: int | None = PrivateAttr()

    def __init__(self, model_name: str = "BAAI/bge-small-en-v1.5", *, parallel: int | None = None,
                 embed_batch_size: int = 256, callback_manager: Any = None, **options: Any):
        super().__init__(model_name=model_name, embed_batch_size=embed_batch_size, callback_manager=callback_manager)
        self._model = TextEmbedding(model_name, **options)
        self._parallel = parallel

    @classmethod
    def class_name(cls) -> str:
        return "VecmillEmbedding"

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        rows = self._model.embed(texts, batch_size=max(1, len(texts)), parallel=self._parallel)
        return [row.tolist() for row in rows]

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_query_embedding, query)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return await asyncio.to_thread(self._get_text_embedding, text)
