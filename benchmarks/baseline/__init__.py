"""What a program leaves behind on fixed worlds, written down so that two commits can be compared.

Nothing is imported from the program: it is driven by its command line, HTTP and SQL, so it may be of any checkout.
"""
