"""Parts of `flowgrad.fit`: samples and their order, batches, selection of slots of θ, descent, checkpoints."""
