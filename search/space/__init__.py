"""What may be built, and what fits?"""
