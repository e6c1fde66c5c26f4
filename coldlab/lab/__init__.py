"""The apparatus of measured results: runs and their folders, experiments, studies, manifests, timings.

It imports the course's package; the course's package never imports it. Only the command line knows both.
"""
