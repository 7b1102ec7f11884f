"""`llmlab bench --gpu`: training on one CUDA card against nanoGPT on the same card. Begin with `gpu_suite`."""
