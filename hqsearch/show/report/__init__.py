"""One self-contained page about a study: no script, nothing loaded from anywhere."""
