"""Speed of a training step: loss scaling of fp16, compiled blocks, batches copied ahead, the largest micro-batch, the GPU's use.

Nothing here changes a number but by rounding and, in a run with dropout, by other masks. Begin with `prepare_steps` and
`loss_scaling`.
"""
