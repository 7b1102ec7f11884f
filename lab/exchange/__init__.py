"""Exchange with others: views and traces as files, the report of a run as one HTML file, models from and to Hugging Face.

Begin with `export_files`, `html_report` and `hugging_face`; only the last needs torch. Imports `models`, `lab.core`, `lab.views`,
`lab.tokenization`, `lab.runs`, `lab.data`, `lab.planning`, `lab.analysis` and `lab.inspect`.
"""
