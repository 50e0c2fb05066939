"""What is in a folder: four analyses side by side, joined into one report. See README.md."""
