"""``python -m golem_sdk.cli``: the same as ``golem``."""

from __future__ import annotations

import sys

from golem_sdk.cli import main

sys.exit(main())
