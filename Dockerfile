# syntax=docker/dockerfile:1
# Tailrace in a container: no root, nothing to write to but /var/lib/tailrace and /tmp.
#   docker build --build-arg VERSION=$(packaging/version.sh) -t tailrace .
#   docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges -v tailrace:/var/lib/tailrace \
#     -e TAILRACE_CLICKHOUSE_PASSWORD=$(openssl rand -hex 16) -p 127.0.0.1:4317:4317 -p 127.0.0.1:4318:4318 tailrace
# The console has no users in this configuration, so it listens on the container's own loopback only: mount one with users (config/team.yaml)
# over /etc/tailrace/tailrace.yaml and set TAILRACE_CONSOLE=0.0.0.0:4400 to reach it. `runner` needs an image that has what it is to run:
# COPY /usr/lib/tailrace from this one.

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
COPY internal/tools/ internal/tools/
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG VERSION=0.1.0-dev
ARG TARGETOS=linux
ARG TARGETARCH=amd64
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    make --silent _build/src/main.go && packaging/build.sh "$VERSION" "$TARGETOS" "$TARGETARCH" /out && mkdir /empty

# The embedded ClickHouse exists for x86-64 only. Elsewhere this stage is an empty folder, and clickhouse_store names a server.
FROM node:22-bookworm-slim AS clickhouse
ARG TARGETARCH=amd64
WORKDIR /src
COPY embedded/clickhouse/package.json embedded/clickhouse/package-lock.json embedded/clickhouse/.npmrc ./
RUN mkdir /out && if [ "$TARGETARCH" = amd64 ]; then npm ci --no-audit --no-fund --loglevel=error && cp node_modules/@chdb/*/libchdb.so /out/; fi

# glibc, which the library needs, and certificates.
FROM debian:bookworm-slim
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/ /usr/lib/tailrace/
COPY --from=clickhouse /out/ /usr/lib/tailrace/
COPY config/service.yaml /etc/tailrace/tailrace.yaml
COPY --from=build --chown=65532:65532 /empty /var/lib/tailrace
ENV TAILRACE_DATA=/var/lib/tailrace \
    TAILRACE_OTLP_GRPC=0.0.0.0:4317 \
    TAILRACE_OTLP_HTTP=0.0.0.0:4318 \
    TAILRACE_HEALTH=0.0.0.0:13133
USER 65532:65532
VOLUME /var/lib/tailrace
EXPOSE 4317 4318 4400 13133
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/lib/tailrace/tailrace"]
CMD ["--config=/etc/tailrace/tailrace.yaml"]
