"""Experiments on attention: its keys and values, its mask, its softmax, and the length of embeddings."""
