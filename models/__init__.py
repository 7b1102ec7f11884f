"""The GPT-2 in plain PyTorch: model, optimizer, tokenizer, sampling, trace.

Begin with `gpt`, the model on one page, and `config`, its shape. Imports torch, numpy and tiktoken, nothing of `lab` or
`screens`.
"""
