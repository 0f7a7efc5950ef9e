"""Quantization-aware training of candidates from a trained parent.

:mod:`~hqsearch.qat.structural_part` holds what evaluations of one structural part start from,
:mod:`~hqsearch.qat.parent` trains its parent, :mod:`~hqsearch.qat.short_training` measures a
candidate; :mod:`~hqsearch.qat.scores` and :mod:`~hqsearch.qat.relaxation` are what strategies
learn from the parent. Everything here brings torch.
"""
