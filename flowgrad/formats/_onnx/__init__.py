"""What the format `onnx` is made of: the reader's values, neurons and operators, and the writer."""
