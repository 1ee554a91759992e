"""HTTP for every client: pace, bounded bodies, proxies, the server's clock, retries. It knows no service."""
