"""The smallest network that shows the chain rule: three weights in a row, in plain Python. Nothing here needs torch."""
