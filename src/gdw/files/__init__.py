"""What every layer needs to read and write files: atomic writes, versioned documents, wording, pictures.

This is the ground floor of the package: it imports nothing of `gdw` but `gdw.errors`.
"""
