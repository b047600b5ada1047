"""The commands of the remote steps under chaos. Without trio, for a participant that has none."""

from __future__ import annotations

import msgspec

REMOTE_STEPS = ("take", "insure", "send")


class Asked(msgspec.Struct, frozen=True):
    """The payload of a command: the number of parcels, and whether the service is to refuse."""

    parcels: int
    refuse: bool = False
