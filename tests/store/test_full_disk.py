"""The embedded server on a small disk that is filled and freed; each scenario runs in a process of its own."""

from __future__ import annotations

from tests.store.full_disk import LIMIT, SAGAS, run


def test_p12_sagas_go_on_by_themselves_once_a_full_disk_has_room_again() -> None:
    found = run("recovers")["recovers"]
    assert found["active_while_full"] == SAGAS
    assert found["outcomes"] == ["Completed"]
    assert found["attempts"] == [1], "an outage spends no attempts"
    assert found["calls"] == 3 * SAGAS
    stopped, *meanwhile, started = found["log"]
    assert "has stopped writing to" in stopped
    assert all("cannot be started again yet" in line for line in meanwhile), "tried while the disk was still full"
    assert "no space left on device" in stopped
    assert "was started again" in started


def test_opening_on_a_full_folder_names_the_folder_and_the_reason() -> None:
    found = run("opens_full")["opens_full"]
    assert found["error"] == "CannotConnect"
    assert "cannot write to DISK/data: No space left on device" in found["text"]
    assert found["afterwards"] == {}


def test_opening_on_a_read_only_folder_names_the_folder_and_the_reason() -> None:
    found = run("opens_read_only")["opens_read_only"]
    assert found["error"] == "CannotConnect"
    assert "cannot write to DISK/data: Read-only file system" in found["text"]


def test_a_server_that_was_started_with_little_room_uses_what_is_freed_later() -> None:
    assert run("opens_almost_full")["opens_almost_full"] == {"outcome": "Completed"}


def test_a_program_that_ends_while_the_disk_is_full_ends() -> None:
    assert run("closes_full")["closes_full"]["seconds"] < LIMIT
