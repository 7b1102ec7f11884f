"""The glossary: `terms.md` has a section for each term that the lab uses, `glossary` reads it and finds terms by words.

Imports `lab.core`, `lab.lessons` and `lab.views`.
"""
