"""What a network is: architectures as frozen values, their exact cost, and the modules built from them."""
