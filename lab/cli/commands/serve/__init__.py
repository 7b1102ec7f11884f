"""The command `llmlab serve`: the lab in a browser of this machine, or at the other end of an SSH tunnel.

Begin with `serve_command`.
"""
