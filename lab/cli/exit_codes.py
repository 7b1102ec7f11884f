"""Exit codes of the commands; 0 is success."""

FAILED = 1
MISTAKE = 2
INTERRUPTED = 130
