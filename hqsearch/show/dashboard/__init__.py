"""The Optuna dashboard on a study: what it shows of it, and how it is served."""
