"""How many seeds a question needs: power of the deciding tests, exact where there is a formula, simulated elsewhere."""
