"""Pluggable evaluators: module ``short_qat`` is the evaluator ``short-qat``."""
