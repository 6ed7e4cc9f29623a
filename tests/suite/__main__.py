"""`python -m tests.suite`: entry of `./test` inside the virtual environment."""

import sys

from tests.suite.command import main

sys.exit(main(sys.argv[1:]))
