"""The packed file: a student as bytes, and where those bytes go."""
