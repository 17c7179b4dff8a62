"""What would change: run the program without a cloud, compare two revisions, render the difference."""
