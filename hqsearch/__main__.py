"""``python -m hqsearch``: the same as the ``hqsearch`` command."""

from hqsearch.cli import main

if __name__ == "__main__":
    main()
