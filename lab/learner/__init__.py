"""The learner's own files, in the folder `.learn` of the home: progress through the lessons, predictions, notes.

Begin with `progress`. Nothing here needs torch. Imports `lab.core`.
"""
