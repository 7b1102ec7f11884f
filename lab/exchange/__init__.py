"""Exports: views and traces as files, and the report of a run as one HTML file.

Begin with `export_files` and `html_report`. Nothing here needs torch. Imports `models`, `lab.core`, `lab.views`, `lab.runs`,
`lab.reports` and `lab.inspect`.
"""
