"""The checker of claims: a claim's file, the conditions of its verdict, and the figures in its text.

Begin with `claim`, the form of a file; `check_claim` gives the verdict. `experiment_guess` asks for
the outcome of an experiment by the same conditions.
"""
