"""The weather services, one module each: requests and answers. `client` is what they share on top of `http`."""
