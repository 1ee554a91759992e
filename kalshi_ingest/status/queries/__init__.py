"""The statements of `status`: what is held, what past runs did, and what `--forget` takes back."""
