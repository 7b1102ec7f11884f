"""Studies: small trainings whose curves and tables a lesson shows, each of a minute or so.

A study is a file with a function `study(record)`, and a recorded result of five seeds, `recorded/NAME.jsonl`: it is shown until
the study has been run here, and beside that then. Begin with `study_job`, which names the studies. Imports
`models`, `lab.core`, `lab.runs`, `lab.training`, `lab.training.posttraining` and `lab.experiments`.
"""
