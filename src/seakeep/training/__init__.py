"""Training: split by time, fit, evaluate against baselines, and record every input so that a run can be repeated."""
