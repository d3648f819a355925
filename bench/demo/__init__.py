"""The live page: a photograph in, coloured by several models side by side."""
