"""The components that come with cnnbench; they enter by the public door, like anybody's."""
