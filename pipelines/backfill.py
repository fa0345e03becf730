"""`buildkite-elt load backfill`, for a scheduler that starts Python files; it has the same options and exit codes."""

import sys

from buildkite_elt.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["load", "backfill"]
    main()
