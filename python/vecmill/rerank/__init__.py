"""Rerankers: see cross_encoder."""
