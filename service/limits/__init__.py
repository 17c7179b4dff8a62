"""How much they may ask for: rates and budgets."""
