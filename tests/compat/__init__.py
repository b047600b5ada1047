"""What the last release promised: its Python API, its wire and its JSON, kept beside the tests in `last`.

`python -m tests.compat` keeps those of the present code. A release does it last (CONTRIBUTING.md).
"""
