"""Experiments on learning: the loss at the start, and gradient descent from random weights."""
