"""The differentiable search: a supernet's relaxation, sampling, training and derivation.

Everything runs on a worker and brings torch, except :mod:`hqsearch.supernet.derive`; this
module itself imports nothing, for the command line walks past it.
"""
