"""The service as others see it over HTTP: `/livez`, `/readyz`, `/metrics` and the pages. Read-only.

`app` has the routes, `door` decides who may enter, `metrics` exposes the counters that the service keeps. The pages
read the database over `db_connection`, which never waits for the jobs; templates are in `templates`. No job imports it.
"""
