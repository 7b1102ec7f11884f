"""The pages of Train about the inside of the model: head scores, probe, updates.

Begin with `insights_view`.
"""
