"""Sessions for machines with several Pythons: `nox` runs the suite under each, `nox -s smoke` the built wheel."""

import nox

PYTHONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]
nox.options.sessions = ["suite"]
nox.options.error_on_missing_interpreters = False


@nox.session(python=PYTHONS)
def suite(session: nox.Session) -> None:
    """Run the whole suite; arguments after `--` are pytest's."""
    session.run(".ci/suite", *session.posargs, external=True)


@nox.session(python=PYTHONS)
def smoke(session: nox.Session) -> None:
    """Run the README's programs, the demo and the FastAPI example from the built wheel."""
    session.run(".ci/smoke", external=True)
