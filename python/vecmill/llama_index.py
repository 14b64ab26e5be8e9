"""vecmill for LlamaIndex, in place of its FastEmbedEmbedding and SentenceTransformerRerank.

    from vecmill.llama_index import VecmillEmbedding, VecmillRerank

Needs llama-index-core, which is not installed with vecmill.
"""

from __future__ import annotations

import asyncio
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle

from vecmill._cross import CrossEncoder
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


class VecmillRerank(BaseNodePostprocessor):
    """LlamaIndex's BaseNodePostprocessor: the nodes that a cross-encoder finds best for a query, the best first, with its
    scores. A node is read as it is embedded, with its metadata.

    model:    a folder or `org/name`; further options are those of CrossEncoder
    top_n:    how many nodes
    parallel: as of CrossEncoder.rank()
    """

    model: str
    top_n: int = 2
    parallel: int | None = None
    _encoder: CrossEncoder = PrivateAttr()

    def __init__(self, model: str, top_n: int = 2, *, parallel: int | None = None, **options: Any):
        super().__init__(model=model, top_n=top_n, parallel=parallel)  # type: ignore[call-arg] # pydantic makes it
        self._encoder = CrossEncoder(model, **options)

    @classmethod
    def class_name(cls) -> str:
        return "VecmillRerank"

    def _postprocess_nodes(self, nodes: list[NodeWithScore],
                           query_bundle: QueryBundle | None = None) -> list[NodeWithScore]:
        if query_bundle is None:
            raise ValueError("nodes are reranked for a query: pass query_bundle or query_str")
        texts = [node.node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes]
        hits = self._encoder.rank(query_bundle.query_str, texts, self.top_n, parallel=self.parallel)
        return [NodeWithScore(node=nodes[hit["corpus_id"]].node, score=hit["score"]) for hit in hits]
