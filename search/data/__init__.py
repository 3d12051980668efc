"""Where do images come from?"""
