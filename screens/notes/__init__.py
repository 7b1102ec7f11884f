"""Notes about a screen's state: the dialog that writes one, from anywhere in the lab, and the place in words.

Begin with `note_dialog`. The list of all notes is a page of Learn.
"""
