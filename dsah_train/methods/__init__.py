"""One file per method, each with one loop that reads top to bottom."""
