"""`python -m tests.compat`: keep what the present code promises as that of the last release."""

from argparse import ArgumentParser

from tests.compat.promises import keep

if __name__ == "__main__":
    ArgumentParser(description=__doc__).parse_args()
    keep()
