"""What is done?"""
