"""The line plot of Train and of the comparison.

Begin with `plot_widget`; `figure` is what it shows, `draw_plot` draws it, axes and all. Which curves there are is decided in
`screens.train.run_plots`.
"""
