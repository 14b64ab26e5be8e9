"""What is made of vectors after a model: Muvera, with FastEmbed's names, arguments and numbers."""

from __future__ import annotations

import os
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vecmill import _core

__all__ = ["Muvera"]


class Muvera:
    """One vector of fixed size for the vectors of a document or query, so that the dot product of a query's with a
    document's comes near MaxSim (Dhulipala et al. 2024). As fastembed.postprocess.Muvera: the same planes for
    a seed, the same numbers.

    planes  float64 [r_reps, dim, k_sim + dim_proj]: k_sim normals of planes, then dim_proj columns of signs. NumPy
            does not promise that a later version draws the same from a seed, and an index wants the same for
            ever: np.save("planes.npy", muvera.planes), and Muvera.from_planes("planes.npy", k_sim)."""

    def __init__(self, dim: int, k_sim: int = 5, dim_proj: int = 16, r_reps: int = 20,
                 random_seed: int = 42) -> None:
        if dim_proj > dim:
            raise ValueError(f"Cannot project to a higher dimensionality (dim_proj={dim_proj} > dim={dim})")
        generator = np.random.default_rng(random_seed)
        normals = [generator.normal(size=(dim, k_sim)) for _ in range(r_reps)]
        signs = generator.choice([-1, 1], size=(r_reps, dim, dim_proj))
        self._set(np.concatenate([np.reshape(normals, (r_reps, dim, k_sim)), signs], axis=2), k_sim)

    def _set(self, planes: NDArray[np.float64], k_sim: int) -> None:
        self.planes = np.require(planes, np.float64, ["C", "A"])
        self.planes.flags.writeable = False
        self.r_reps, self.dim, columns = planes.shape
        self.k_sim, self.dim_proj = k_sim, columns - k_sim

    @classmethod
    def from_planes(cls, planes: Any, k_sim: int = 5) -> Self:
        """With planes of another one, or of a file that np.save wrote of them."""
        if isinstance(planes, (str, os.PathLike)):
            planes = np.load(planes, allow_pickle=False)
        planes = np.array(planes, np.float64)
        if planes.ndim != 3 or planes.shape[2] <= k_sim:
            raise ValueError(f"planes have the shape {planes.shape}, [r_reps, dim, {k_sim} + dim_proj] is needed")
        if not np.isfinite(planes).all() or (np.abs(planes[:, :, k_sim:]) != 1).any():
            raise ValueError(f"planes from column {k_sim} on are not 1 or -1, or some are not finite; "
                             f"is k_sim another than {k_sim}?")
        made = cls.__new__(cls)
        made._set(planes, k_sim)
        return made

    @classmethod
    def from_multivector_model(cls, model: Any, k_sim: int = 5, dim_proj: int = 16, r_reps: int = 20,
                               random_seed: int = 42) -> Self:
        """With model.embedding_size as dim."""
        return cls(model.embedding_size, k_sim, dim_proj, r_reps, random_seed)

    @property
    def embedding_size(self) -> int:
        return int(self.r_reps * 2**self.k_sim * self.dim_proj)

    def process_document(self, vectors: Any) -> NDArray[np.float64]:
        """float64 [embedding_size] of a document's vectors, [n, dim]."""
        return self.process(vectors)

    def process_query(self, vectors: Any) -> NDArray[np.float64]:
        """float64 [embedding_size] of a query's vectors, [n, dim]."""
        return self.process(vectors, fill_empty_clusters=False, normalize_by_count=False)

    def process(self, vectors: Any, fill_empty_clusters: bool = True,
                normalize_by_count: bool = True) -> NDArray[np.float64]:
        """A document's where both are true, a query's where none is. ValueError: no vectors, vectors of another
        dimension, or only one of the two."""
        rows = np.require(vectors, np.float64, ["C", "A"])
        if rows.ndim != 2 or rows.shape[1] != self.dim:
            raise ValueError(f"Expected vectors of shape (n, {self.dim}), got {rows.shape}")
        if len(rows) == 0:
            raise ValueError("Cannot encode an empty multivector")
        if bool(fill_empty_clusters) != bool(normalize_by_count):
            raise ValueError("fill_empty_clusters and normalize_by_count are both true, of a document, or both false, "
                             "of a query")
        out = np.empty(self.embedding_size)
        _core.muvera(self.dim, self.k_sim, self.dim_proj, self.r_reps, self.planes, rows, not normalize_by_count, out)
        return out
