"""Input: keys one at a time, and bytes of the terminal that are no text."""
