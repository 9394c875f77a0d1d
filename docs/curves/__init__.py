"""The curves of the gallery: one module for each page, which names its pictures in `PICTURES`.

Every number comes from a call of the public class or function that the page describes.
"""
