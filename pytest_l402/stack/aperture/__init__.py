"""The stack's gateway as a program of its own, which takes Aperture's file and Aperture's flags."""
