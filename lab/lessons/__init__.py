"""The lessons that Learn shows: a Markdown file each in `chapters`, in the order of their numbers. A new one is a file there.

Begin with `lesson`, the form of a lesson's file. `claims` holds the claims of a learner's notes, a file each; `claim`
reads and checks them; `glossary` holds the terms; `learner` keeps what the learner did.
Imports `lab.core`, `lab.views` and `lab.experiments`.
"""
