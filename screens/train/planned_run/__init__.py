"""Parts of a new run's form beside its fields: the run that it begins with, and the time of its steps.

Begin with `base_choice`.
"""
