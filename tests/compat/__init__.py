"""Promises of the last release, kept beside the tests in `last`: its Python API, its wire and its JSON.

`python -m tests.compat` keeps those of the present code. A release does it last (CONTRIBUTING.md).
"""
