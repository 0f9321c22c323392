"""What the category changes in a CNN's attention, as a picture of a few ads."""
