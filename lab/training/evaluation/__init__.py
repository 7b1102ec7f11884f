"""Evaluation while training: validation loss, samples, measurements inside the model, and early stopping.

Begin with `validation_loss`. Imports the packages up to `lab.planning`, and torch.
"""
