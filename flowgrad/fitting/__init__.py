"""What `flowgrad.fit` is made of: samples and their order, batches, slots of θ by what they are, descent, states."""
