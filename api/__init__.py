"""REST, server-sent events, WebSocket and health: what others see of the fleet."""
