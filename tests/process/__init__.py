"""Real programs around a client: web servers and task queues that fork, pools of processes, other schedulers.

On request (``--process``), because they need programs of other people, and a minute.
"""
