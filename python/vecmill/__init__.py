"""vecmill: text in, vectors out.

    from vecmill import TextEmbedding          # FastEmbed's interface
    vectors = list(TextEmbedding("sentence-transformers/all-MiniLM-L6-v2").embed(["hello", "world"]))

    from vecmill import Embedder               # vecmill's own
    rows = Embedder().embed(["hello", "world"])   # float32 [2, 384]

    from vecmill import SparseTextEmbedding    # FastEmbed's: SparseEmbedding(values, indices) of each text

    from vecmill import CrossEncoder           # scores of pairs, as sentence-transformers' class
    hits = CrossEncoder("cross-encoder/ms-marco-MiniLM-L6-v2").rank("a query", ["hello", "world"])

    from vecmill import maxsim                 # late interaction: scores of documents that are rows of vectors
    scores = maxsim(query, rows, offsets)

    from vecmill import quantize_embeddings    # as databases store them: float16, int8, bits
    bits = quantize_embeddings(rows, "ubinary")   # uint8 [n, dim / 8]

Also here: the exceptions (see _errors; VecmillError is the base class of all), and `version`.
"""

from vecmill._core import version
from vecmill._cross import CrossEncoder
from vecmill._embedder import Embedder
from vecmill._errors import *  # noqa: F403
from vecmill._errors import __all__ as _exceptions
from vecmill._late import maxsim
from vecmill._quantize import dequantize_embeddings, quantization_ranges, quantize_embeddings
from vecmill.sparse_text_embedding import SparseEmbedding, SparseTextEmbedding
from vecmill.text_embedding import Device, ModelSource, PoolingType, TextEmbedding

__version__ = version
__all__ = ["CrossEncoder", "Device", "Embedder", "ModelSource", "PoolingType", "SparseEmbedding",
           "SparseTextEmbedding", "TextEmbedding", "dequantize_embeddings", "maxsim", "quantization_ranges",
           "quantize_embeddings", "version", *_exceptions]
