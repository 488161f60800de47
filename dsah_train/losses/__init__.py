"""One file per method; every loss is a plain function that names its equation."""
