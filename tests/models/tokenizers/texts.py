"""Texts that are awkward to cut into tokens."""

from hypothesis import strategies as st

TEXT = (
    "The big dog ran fast. The dog's bone wasn't big, and they'll say so.\n\n"
    "  A second day: the big dog ran home, and 12 small dogs ran after it!\n\tÜber naïve cafés — 犬が走った。 🐕🐕\n"
) * 4
AWKWARD = st.one_of(
    st.text(max_size=40),
    st.text(alphabet=" \n\t\r\xa0\x0b\x85\u3000\x1cab'sdmtlver1²٣.,!—犬🐕\u0301\u200d", max_size=40),
)
ORIGINAL = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
"""The pattern as it stands in GPT-2's released encoder.py."""
KINDS = ("bytes", "bpe", "gpt2")
