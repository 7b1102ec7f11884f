"""Tokenizers: single bytes, BPE learned from the user's text, and GPT-2's vocabulary.

Begin with `tokenizer`. Imports tiktoken, rustbpe and requests, nothing of torch.
"""
