"""The command line: one file a command."""

from hqsearch.cli.app import cli, main

__all__ = ["cli", "main"]
