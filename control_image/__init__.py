"""The programs that run the pipeline: the watcher, scheduled training, the steps of the build."""
