"""Exact float64 emitters: fitted scikit-learn estimators become ONNX graphs that decide alike on every row."""
