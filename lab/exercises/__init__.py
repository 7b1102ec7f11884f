"""Exercises: functions that a learner writes, from counting pairs to sampling, checked on real weights and put into the model."""
