"""Tables of Runs and of published numbers: sheets, and the forms they are written in."""
