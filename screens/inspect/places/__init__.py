"""Places of Inspect that are returned to: those before each jump, and states that were kept elsewhere."""
