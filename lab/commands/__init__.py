"""The commands of `llmlab`, one file for each or for a few that belong together. None imports torch before it runs."""
