"""The learner's own files, in the folder `.learn` of the home: progress through the lessons, predictions, the quiz, notes.

Begin with `progress`; `predictions` keeps the score of guesses, `quiz` that before and after the lessons, `notes`
one's own notes, a Markdown file. Nothing here needs torch. Imports `lab.core`, `lab.views`, `lab.lessons`.
"""
