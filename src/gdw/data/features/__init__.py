"""Features of images and texts from a frozen network: computed once, and kept on disk by content."""
