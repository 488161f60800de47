"""Parts of ``bench/encode.py``: one question per module."""
