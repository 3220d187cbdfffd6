"""Events that are kept, so that a stream which was dropped can be resumed: for both versions of the official SDK."""

from mcp.server.streamable_http import EventMessage, EventStore


class MemoryEventStore(EventStore):
    """Keeps every event of every stream, in order; the id is the position."""

    def __init__(self):
        self.events = []

    async def store_event(self, stream_id, message):
        self.events.append((stream_id, message))
        return str(len(self.events))

    async def replay_events_after(self, last_event_id, send_callback):
        position = int(last_event_id)
        if not 0 < position <= len(self.events):
            return None
        stream_id = self.events[position - 1][0]
        for number, (of_stream, message) in enumerate(self.events[position:], position + 1):
            if of_stream == stream_id and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream_id
