"""Optimizers: AdamW, Muon, and the schedules of their learning rate.

Begin with `optimizer`, which makes one for a model. `lr_schedule` imports nothing of torch.
"""
