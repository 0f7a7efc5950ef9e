"""NSGA-II, plain or assisted by a model of what is measured."""
