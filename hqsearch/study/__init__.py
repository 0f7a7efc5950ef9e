"""Studies: opened, run, confirmed, compared."""
