"""The study's log on Optuna's storage, and its projection for browsing."""
