"""Containers, Cloud Build's steps and Compute Engine's VMs on one machine, with no Docker daemon.

An image is a folder (`image_store`, `docker_build`). A container is a process with a file system of
its own (`bubblewrap`, `docker_run`). A build's steps (`cloud_build`) and a VM (`vm`) are such
processes, too. They find a `docker` command (`docker_command`) and the other `standins` on their
PATH. The rest of the local cloud uses `runtime`. All of this works as root and as an ordinary user
who may make user namespaces.

It cannot show: dependencies and sizes (they are those of the virtual environment and of the host's
own /usr), the download of layers, USER and file owners, limits on memory and processors, and GPUs.
Each module says what else it leaves out.
"""
