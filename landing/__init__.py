"""The landing folder: the generator of the default data, the check of anybody's folder, the MovieLens adapter."""
