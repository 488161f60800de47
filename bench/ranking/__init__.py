"""What bench/rank.py measures: one file per kind of question."""
