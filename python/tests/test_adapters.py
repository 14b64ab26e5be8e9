"""vecmill inside the real LangChain, LlamaIndex and Qdrant client; those that are not installed are skipped."""

import copy
import importlib.util
import pickle
import unittest

import kit
import numpy as np

import vecmill

NAME = "test/toy"


def missing(module):
    return importlib.util.find_spec(module) is None


class Case(kit.Case):
    def setUp(self):
        vecmill.TextEmbedding._custom_models.clear()
        vecmill.TextEmbedding.add_custom_model(NAME, "MEAN", True, vecmill.ModelSource(hf=NAME), 32)
        self.options = {"specific_model_path": kit.model("toy")}
        self.model = vecmill.TextEmbedding(NAME, **self.options)
        self.texts = kit.texts(200)
        self.want = np.stack(list(self.model.embed(self.texts)))


@unittest.skipIf(missing("langchain_core"), "langchain-core is not installed")
class LangChain(Case):
    def test_embeddings(self):
        from langchain_core.embeddings import Embeddings
        from langchain_core.vectorstores import InMemoryVectorStore

        from vecmill.langchain import VecmillEmbeddings
        made = VecmillEmbeddings(NAME, parallel=2, batch_size=16, **self.options)
        self.assertIsInstance(made, Embeddings)
        np.testing.assert_array_equal(np.array(made.embed_documents(self.texts), np.float32), self.want)
        np.testing.assert_array_equal(np.array(made.embed_query(self.texts[3]), np.float32), self.want[3])
        store = InMemoryVectorStore.from_texts(self.texts, made)
        self.assertEqual(store.similarity_search(self.texts[7], k=1)[0].page_content, self.texts[7])

    def test_copies(self):
        from vecmill.langchain import VecmillEmbeddings
        for more in ({}, {"lazy_load": True}):
            made = VecmillEmbeddings(NAME, parallel=1, batch_size=7, **more, **self.options)
            for other in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
                np.testing.assert_array_equal(np.array(other.embed_documents(self.texts), np.float32), self.want)
                self.assertEqual((other.batch_size, other.parallel), (7, 1))

    @unittest.skipIf(missing("langchain_text_splitters"), "langchain-text-splitters is not installed")
    def test_splitters(self):
        from langchain_text_splitters import CharacterTextSplitter
        from langchain_text_splitters.base import Tokenizer, split_text_on_tokens
        tokenizer = self.model.model.tokenizer
        tokenizer.no_truncation()
        tokenizer.no_padding()

        def count(text):
            return len(tokenizer.encode(text, add_special_tokens=False))
        text = " ".join(self.texts)
        parts = CharacterTextSplitter(separator=" ", chunk_size=50, chunk_overlap=0, length_function=count).split_text(text)
        self.assertGreater(len(parts), 10)
        self.assertLessEqual(max(map(count, parts)), 50)
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        parts = split_text_on_tokens(text=text, tokenizer=Tokenizer(
            chunk_overlap=0, tokens_per_chunk=20, decode=tokenizer.decode,
            encode=lambda text: tokenizer.encode(text, add_special_tokens=False).ids))
        self.assertEqual(parts, [tokenizer.decode(ids[i:i + 20]) for i in range(0, len(ids), 20)])

    def test_async(self):
        import asyncio

        from vecmill.langchain import VecmillEmbeddings
        made = VecmillEmbeddings(NAME, **self.options)
        np.testing.assert_array_equal(np.array(asyncio.run(made.aembed_documents(self.texts)), np.float32), self.want)


@unittest.skipIf(missing("llama_index"), "llama-index-core is not installed")
class LlamaIndex(Case):
    def test_embeddings(self):
        import asyncio

        from llama_index.core.base.embeddings.base import BaseEmbedding
        from llama_index.core.schema import TextNode

        from vecmill.llama_index import VecmillEmbedding
        made = VecmillEmbedding(NAME, embed_batch_size=64, **self.options)
        self.assertIsInstance(made, BaseEmbedding)
        np.testing.assert_array_equal(np.array(made.get_text_embedding_batch(self.texts), np.float32), self.want)
        np.testing.assert_array_equal(np.array(made.get_query_embedding(self.texts[3]), np.float32), self.want[3])
        np.testing.assert_array_equal(np.array(asyncio.run(made.aget_text_embedding(self.texts[4])), np.float32),
                                      self.want[4])
        nodes = made([TextNode(text=text) for text in self.texts[:5]])
        np.testing.assert_array_equal(np.array([node.embedding for node in nodes], np.float32), self.want[:5])

    def test_copies(self):
        from vecmill.llama_index import VecmillEmbedding
        for more in ({}, {"lazy_load": True}):
            made = VecmillEmbedding(NAME, embed_batch_size=9, parallel=1, **more, **self.options)
            for other in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made), copy.copy(made)):
                np.testing.assert_array_equal(np.array(other.get_text_embedding_batch(self.texts), np.float32), self.want)
                self.assertEqual((other.embed_batch_size, other._parallel), (9, 1))

    def test_splitter(self):
        from llama_index.core.node_parser import SentenceSplitter, TokenTextSplitter
        tokenizer = self.model.model.tokenizer
        tokenizer.no_truncation()
        for kind in (SentenceSplitter, TokenTextSplitter):
            parts = kind(tokenizer=tokenizer.encode, chunk_size=60, chunk_overlap=0).split_text(" ".join(self.texts))
            self.assertGreater(len(parts), 10)
            self.assertLessEqual(max(len(tokenizer.encode(part)) for part in parts), 60)


@unittest.skipIf(missing("qdrant_client"), "qdrant-client is not installed")
class Qdrant(Case):
    """Qdrant's client in local mode: vectors are stored as the generator yields them."""

    def test_upload_and_search(self):
        from qdrant_client import QdrantClient, models
        client = QdrantClient(":memory:")
        client.create_collection("texts", vectors_config=models.VectorParams(
            size=self.model.embedding_size, distance=models.Distance.COSINE))
        client.upload_collection("texts", vectors=self.model.embed(self.texts, parallel=2, batch_size=16),
                                 payload=[{"text": text} for text in self.texts], ids=range(len(self.texts)))
        self.assertEqual(client.count("texts").count, len(self.texts))
        for i in (0, 77, 199):
            query = next(self.model.query_embed(self.texts[i]))
            found = client.query_points("texts", query=query, limit=1).points
            self.assertEqual((found[0].id, found[0].payload["text"]), (i, self.texts[i]))


class Rerank(kit.Case):
    def setUp(self):
        self.texts, self.query = kit.texts(40), "which one"
        self.hits = vecmill.CrossEncoder(kit.model("cross")).rank(self.query, self.texts)

    @unittest.skipIf(missing("langchain_core"), "langchain-core is not installed")
    def test_langchain(self):
        import asyncio

        from langchain_core.documents import BaseDocumentCompressor, Document

        from vecmill.langchain import VecmillRerank
        documents = [Document(page_content=text, metadata={"i": i}) for i, text in enumerate(self.texts)]
        made = VecmillRerank(kit.model("cross"))
        self.assertIsInstance(made, BaseDocumentCompressor)
        want = [(self.texts[hit["corpus_id"]], {"i": hit["corpus_id"], "relevance_score": hit["score"]})
                for hit in self.hits]
        for n, rerank in ((3, made), (40, VecmillRerank(kit.model("cross"), top_n=None, parallel=2, lazy_load=True)),
                          (3, pickle.loads(pickle.dumps(made))), (3, copy.deepcopy(made))):
            for found in (rerank.compress_documents(documents, self.query),
                          asyncio.run(rerank.acompress_documents(documents, self.query))):
                self.assertEqual([(d.page_content, d.metadata) for d in found], want[:n])
        self.assertEqual([d.metadata for d in documents], [{"i": i} for i in range(40)])
        self.assertEqual(made.compress_documents([], self.query), [])

    @unittest.skipIf(missing("llama_index"), "llama-index-core is not installed")
    def test_llama_index(self):
        import asyncio

        from llama_index.core.postprocessor.types import BaseNodePostprocessor
        from llama_index.core.schema import NodeWithScore, TextNode

        from vecmill.llama_index import VecmillRerank
        nodes = [NodeWithScore(node=TextNode(text=text, id_=str(i)), score=0.5) for i, text in enumerate(self.texts)]
        made = VecmillRerank(kit.model("cross"))
        self.assertIsInstance(made, BaseNodePostprocessor)
        want = [(str(hit["corpus_id"]), hit["score"]) for hit in self.hits]
        for n, rerank in ((2, made), (7, VecmillRerank(kit.model("cross"), 7, parallel=1)),
                          (2, pickle.loads(pickle.dumps(made))), (2, copy.deepcopy(made))):
            for found in (rerank.postprocess_nodes(nodes, query_str=self.query),
                          asyncio.run(rerank.apostprocess_nodes(nodes, query_str=self.query))):
                self.assertEqual([(hit.node.node_id, hit.score) for hit in found], want[:n])
        self.assertEqual({node.score for node in nodes}, {0.5})
        with self.assertRaisesRegex(ValueError, "for a query"):
            made.postprocess_nodes(nodes)


if __name__ == "__main__":
    kit.main()
