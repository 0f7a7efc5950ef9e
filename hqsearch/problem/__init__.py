"""What is searched and judged: candidates, spaces, objectives, dominance, budgets."""
