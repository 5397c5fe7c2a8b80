"""Does a model do what this library assumes of it? Eleven checks, for any decoder model.

    python -m tl_geometry.conformance pocket-llama
    python -m tl_geometry.conformance path/to/my/model

Everything is compared with Hugging Face's own code on the same weights, reached through the plain
twin that every loaded model has (`tl_geometry.twins`).
"""
