"""The pictures of a study, drawn with matplotlib: files for a paper, panels for the report."""
