"""The learner's own files, in the folder `.learn` of the home: progress through the lessons, predictions, notes.

Begin with `progress`; `predictions` keeps the score of guesses, `notes` one's own notes. Nothing here needs torch.
Imports `lab.core`, `lab.views`.
"""
