"""Experiments on the prediction of each token of a text."""
