"""ocrpress: long documents to Markdown through optical compression, with the loss measured."""
