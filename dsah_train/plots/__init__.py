"""Pictures of results: curves, histograms, code maps, and sheets of photographs.

Curves are drawn by matplotlib without a display, sheets by Pillow. Every function writes one
picture, whole or not at all.
"""
