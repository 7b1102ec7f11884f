"""The lessons that Learn shows: Markdown files, in the order of their names. A lesson is added as a file here.

Imports nothing else of the lab.
"""
