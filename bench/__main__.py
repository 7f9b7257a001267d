"""`python -m bench` is `evil-twins`."""

import sys

from bench.cli import main

sys.exit(main())
