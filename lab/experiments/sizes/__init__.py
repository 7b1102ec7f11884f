"""Experiments on the size and the parts of a model: counted from modules, not from formulas."""
