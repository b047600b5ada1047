"""A misspelt `SAGAKIT_*` variable is refused with the name that was meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from sagakit import Config
from sagakit.errors import InvalidConfig


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("SAGAKIT_ACK_TIMEOT", "SAGAKIT_ACK_TIMEOUT"),
        ("SAGAKIT_LEASETTL", "SAGAKIT_LEASE_TTL"),
        ("SAGAKIT_DRAIN_TIMOUT", "SAGAKIT_DRAIN_TIMEOUT"),
        ("SAGAKIT_NAMSPACE", "SAGAKIT_NAMESPACE"),
        ("SAGAKIT_MAX-ACTIVE", "SAGAKIT_MAX_ACTIVE"),
        ("sagakit_drain_timeout", "SAGAKIT_DRAIN_TIMEOUT"),
        ("SAGAKIT_NAT_URL", "SAGAKIT_NATS_URL"),
        ("SAGAKIT_TLSCA", "SAGAKIT_TLS_CA"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_nearest_name(variable: str, meant: str) -> None:
    with pytest.raises(InvalidConfig, match=f"did you mean {meant}\\?"):
        Config.from_env({variable: "3"})
    with pytest.raises(InvalidConfig, match=f"did you mean {meant}\\?"):
        Config.load(None, {variable: "3"})


def test_a_variable_that_resembles_no_option_is_left_alone() -> None:
    others = {
        "SAGAKIT_NATS_URL": "nats://x",
        "SAGAKIT_NATS_SERVER": "/bin/nats-server",
        "SAGAKIT_SERVICE_HOST": "10.0.0.1",  # Kubernetes sets these for a service with the name sagakit
        "SAGAKIT_PORT_4222_TCP_ADDR": "10.0.0.1",
        "SAGAKIT_WORKER_PASSWORD": "of the server's configuration",
        "SAGAKITTEN": "1",
        "HOME": "/",
    }
    assert Config.from_env(others | {"SAGAKIT_DRAIN_TIMEOUT": "3"}) == Config(drain_timeout=3.0)


def test_a_misspelt_option_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="no such option: lease_tll; did you mean 'lease_ttl'\\?"):
        Config.of({"lease_tll": 3})
    (tmp_path / "sagakit.toml").write_text("[sagakit]\nlease_tll = 3\n")
    with pytest.raises(InvalidConfig, match="did you mean 'lease_ttl'\\?"):
        Config.from_toml(tmp_path / "sagakit.toml")
