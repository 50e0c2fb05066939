"""Faust as the executor of records: transport, intake, settings.

The order of a rebalance in faust 0.15.3, with the transport of this package. Every signal handler is awaited, in its
turn, on the main loop, and one that raises stops the app.

1. The revoke, before the worker joins again: commit; the flow stops, the partitions pause, the queues are cleared; the
   producer is flushed; ``app.on_partitions_revoked(partitions)``. Another worker gets a partition only after that, or
   after the rebalance timeout. At the first start it comes too, with no partitions.
2. The group has a new generation, which stands in ``app.consumer_generation_id`` from here on.
3. The assignment: agents and tables hear of it; ``app.on_partitions_assigned(partitions)``. *Nothing waits for its
   handlers*: the tables have already woken the recovery, which goes on beside them.
4. The recovery of tables, when there are any: only their changelogs are read.
5. ``app.on_rebalance_complete()``. The first record of the generation is delivered after its handlers have returned:
   this is the place to take an epoch. ``app.consumer.assignment()`` names the partitions. When another rebalance begins
   meanwhile, an app with tables cancels the handler; either way nothing is delivered, and it is called again.
6. Seek to the committed offsets; the queues are cleared once more; the flow resumes. Each message says its generation
   in ``event.message.generation_id``, and the stream drops one of another generation.
"""
