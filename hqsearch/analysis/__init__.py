"""What the numbers of a log say: differences, verdicts, hypervolumes, costs."""
