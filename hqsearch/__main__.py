"""``python -m hqsearch``: the same as the ``hqsearch`` command."""

from hqsearch.cli.main import main

if __name__ == "__main__":
    main()
