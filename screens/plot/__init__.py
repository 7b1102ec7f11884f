"""The line plot of Train and of the comparison.

Begin with `line_plot`, the widget; `figure` is what it shows, `drawing` makes the lines. Which curves there are is decided in
`screens.train.run_plots`.
"""
