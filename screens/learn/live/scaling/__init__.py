"""Live widget of the lesson on scaling. Begin with `scaling_widget`; what is trained and measured is in `lab.scaling`."""
