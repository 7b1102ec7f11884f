"""Questions for the learner to guess on a traced prompt: the most probable next token, and the token that a head attends to most.

Begin with `next_token_guess` and `attention_guess`.
"""
