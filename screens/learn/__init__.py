"""The mode Learn: lessons with a live widget each, the claims of a learner's notes, the user's own notes; a page each.

Begin with `learn_screen`; `lessons_page` and `lesson_reader` are the lessons, `live` holds their widgets, `claims_page` and
`claim_reader` are the notes, checked. The texts are in `lab/lessons`.
"""
