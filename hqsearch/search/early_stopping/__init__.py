"""Early stopping with several objectives: who goes on from a rung."""
