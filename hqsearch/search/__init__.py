"""The search loop: proposals and results, replay, early stopping."""
