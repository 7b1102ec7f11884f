"""GPT-2 in plain PyTorch: model, optimizer, tokenizers, sampling, and the trace of a forward pass.

Begin with `gpt`, the model on one page, and `config`, its shape. Imports torch, numpy, tiktoken
and rustbpe, nothing of `lab` or `screens`.
"""
