"""`python -m saccade` is `saccade`."""

import sys

from saccade.app.main import main

sys.exit(main())
