"""Use of the GPU that trains a run, as its status tells it. Begin with `gpu_use`."""
