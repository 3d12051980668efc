"""What is told?"""
