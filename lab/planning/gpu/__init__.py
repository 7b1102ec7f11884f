"""Choices for a run on a CUDA card, as functions of the card's description: precision, compilation, model FLOPs utilization.

Begin with `card`.
"""
