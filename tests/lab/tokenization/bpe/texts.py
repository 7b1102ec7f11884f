"""Texts for property tests of BPE: many ties, runs of one character, and characters of several bytes."""

from hypothesis import strategies as st

TEXTS = st.one_of(
    st.text("ab", max_size=60),
    st.text("aab \n", max_size=80),
    st.text(" a1.'sé🙂\n\t", max_size=60),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
)
