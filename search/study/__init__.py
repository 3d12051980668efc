"""Who runs what, and what is remembered?"""
