"""Quantization-aware training of candidates: parent, short training, scores, relaxation."""
