"""HTML pages about runs, which need no network and no other file."""
