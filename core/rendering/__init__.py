"""Lesions on a body: meshes, skin, light and cameras in; images and their annotations out."""
