"""What each page can be asked for."""
