"""How a weight is stored: choices and their schemes."""
