"""Examples and a model in, better weights out: recipes, methods, losses and the loop that yields Steps."""
