"""The screens' side of the engine: asking the newest question only, and the notices while an answer is due.

Begin with `newest_only`. Inspect and one step build on it; imports no mode.
"""
