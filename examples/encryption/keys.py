"""The keys of the orders, and the payload codec that they make.

`ORDER_KEYS` has the keys as `ID=HEX`, with spaces between them, the current one first. It comes from a secret store; it
never comes from NATS, whose administrators are not to read the orders.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from sagakit import Compressed, PayloadCodec
from sagakit.encryption import Encrypted


def codec() -> Sequence[PayloadCodec]:
    """Return the codec by the keys in the environment: `sagakit web --payload-codec examples.encryption.keys:codec`."""
    keys = dict(word.split("=", 1) for word in os.environ["ORDER_KEYS"].split())
    current = next(iter(keys))
    return [Compressed(above=2048), Encrypted({id: bytes.fromhex(key) for id, key in keys.items()}, current=current)]
