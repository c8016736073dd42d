"""The battery of conformance checks, by feature. Importing a module registers its checks."""
