"""The lab on the runs of another machine. Imports `screens.app`, and of the lab the mirror of these runs."""
