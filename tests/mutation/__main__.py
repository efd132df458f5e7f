"""``PYTHONPATH=tests python -m mutation``: see `mutation.command`."""

from __future__ import annotations

import sys

from mutation.command import main

sys.exit(main())
