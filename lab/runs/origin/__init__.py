"""Origin of a run's weights where they did not begin as random ones: post-training, or an import."""
