"""One technology a file; only compose picks them."""
