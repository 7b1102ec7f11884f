"""The lessons that Learn shows: a Markdown file each in `chapters`, in the order of their numbers. A new one is a file there.

Begin with `lesson`, the form of a lesson's file. `claims` holds the claims of a learner's notes, a file each; `claim`
reads and checks them; `glossary` has the terms of terms.md and `quiz` the questions of quiz.md. What the learner did is in the
folder `.learn` of the home: `learner_progress`, `guess_score` with the guesses, and `learner_notes`.
Imports `lab.core`, `lab.views` and `lab.experiments`.
"""
