"""Origins: of a run's weights where they did not begin as random ones (post-training, an import), and of its validation text."""
