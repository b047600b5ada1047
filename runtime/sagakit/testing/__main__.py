"""`python -m sagakit.testing MODULE`: the same as `sagakit explore MODULE`."""

from __future__ import annotations

import sys

from sagakit.cli.app import app

app(["explore", *sys.argv[1:]], prog_name="python -m sagakit.testing")
