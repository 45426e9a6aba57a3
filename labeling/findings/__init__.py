"""What is checked when somebody hands in a text. Pure functions: texts in, places out; no database, no words for people."""
