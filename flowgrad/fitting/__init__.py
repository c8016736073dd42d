"""What `flowgrad.fit` is made of: samples and their weights, slots of θ by what they are, the descent, checkpoints."""
