"""The diagnosis of a run: one verdict, the numbers behind it, and advice.

Begin with `diagnose`, which tries the checks in order; a file of checks holds one kind of finding. Imports what `lab.reports`
may.
"""
