"""What developers of the project run: the verdict of CI, the picture in the README. Nothing here is installed."""
