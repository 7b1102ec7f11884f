"""Training on several ranks, one process each: PyTorch's process group and DistributedDataParallel, over GPUs and machines.

Begin with `rank_roles`: rank 0, which leads and alone writes into the run's folder, and the others, which compute what they are
told; `one_rank` is what a training in one process has instead. Imports `models`, `lab.core`, `lab.runs`,
`lab.planning` and the rest of `lab.training`.
"""
