"""A pretrained Llama as the teacher: reading it, running it, and letting it write data."""
