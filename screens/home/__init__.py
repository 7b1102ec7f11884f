"""The mode Home: the pipeline from text to prediction, the runs, the machine.

Begin with `home_screen`.
"""
