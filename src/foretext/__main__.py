"""`python -m foretext`, and so `torchrun -m foretext`: the command line."""

import sys

from foretext.cli import main

sys.exit(main())
