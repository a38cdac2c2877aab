"""Pages that answer questions: what is true now, how one model fares, and why a prediction came out as it did."""
