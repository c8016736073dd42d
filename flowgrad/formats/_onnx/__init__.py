"""Implement the format `onnx`: the reader's values, neurons and operators, and the writer."""
