"""What is a network? Architectures as frozen values, their exact cost, and the modules built from them."""
