"""Text as tokens, seen closely: counts, one token's merges, BPE being learned, the vocabulary. No torch.

Begin with `token_facts`; `bpe_by_steps` learns a vocabulary. Imports `models`, `lab.core`, `lab.views`, `lab.runs` and
`lab.data`.
"""
