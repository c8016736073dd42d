"""How things show themselves: in notebooks, on paper. Network and Gradients find these by name, as they stand above."""
