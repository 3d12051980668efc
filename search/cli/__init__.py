"""The command line. `nas` calls `main`."""

from search.cli.app import main

__all__ = ["main"]
