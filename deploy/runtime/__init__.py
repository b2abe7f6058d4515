"""Load an artifact, run it, decode its output. Imports NumPy, OpenCV and ONNX Runtime, never torch."""
