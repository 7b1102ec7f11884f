"""Experiments on the context window: the loss by position in it, its far end, the cost of its length."""
