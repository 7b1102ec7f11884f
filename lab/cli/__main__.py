"""The command `llmlab` as `python -P -m lab.cli`."""

import sys

from lab.cli import main

if __name__ == "__main__":
    sys.exit(main())
