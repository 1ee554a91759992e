"""Kalshi over HTTP and WebSocket: the only room that knows its endpoints, its formats and its habits.

`api` has one method per question and checks each answer against it; `client` below it signs, retries, dates and
decodes, `availability` decides whose fault a failure is. The `parse_` modules turn JSON into exact values of `domain`.
`websocket` and `subscriptions` keep the announcements coming. Knows no database.
"""
