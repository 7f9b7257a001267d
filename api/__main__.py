"""`python -m evil_twins` is `evil-twins`."""

import sys

from evil_twins.bench.commands.app import main

sys.exit(main())
