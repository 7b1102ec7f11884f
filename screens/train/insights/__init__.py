"""The pages of Train about the inside of the model: head meters, probe, updates.

Begin with `insights_view`.
"""
