"""Measures what the Pulumi program, the images and the judging of a model cost."""
