"""Experiments on generation: sampling, temperature, the KV cache, and the weights meanwhile."""
