"""A user's Python file, ``path/to/file.py:name``: what it imports, who it is, and loading it.

What lies beside the file and is imported belongs to it: it is importable, it is part of the
file's identity, and it is shipped along.
"""

from hqsearch.plugins.identity import code_alone, file_identity, same_identity
from hqsearch.plugins.installed import (
    installed_identity,
    is_installed_reference,
    load_installed,
)
from hqsearch.plugins.loading import load_from_file
from hqsearch.plugins.neighbours import UserCode, read_user_code

__all__ = [
    "UserCode",
    "code_alone",
    "file_identity",
    "installed_identity",
    "is_installed_reference",
    "load_from_file",
    "load_installed",
    "read_user_code",
    "same_identity",
]
