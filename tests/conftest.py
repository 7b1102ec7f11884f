"""Property tests share a machine with whatever else runs on it: how long one example takes says nothing."""

from hypothesis import settings

settings.register_profile("llmlab", deadline=None)
settings.load_profile("llmlab")
