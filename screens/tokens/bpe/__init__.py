"""Parts of the page Learn BPE: pair counts, merges, the text as tokens.

Begin with `pair_list`; the page itself is `screens.tokens.bpe_page`.
"""
