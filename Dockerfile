# The image of sipwarden: one program, no shell, uid 65532, nothing to write to.
#
#   docker build -t sipwarden .                                   compiles in a container
#   docker build -t sipwarden --build-arg BINARY=prebuilt .       takes target/release/sipwarden (make it on
#                                                                 a glibc not newer than the base image's)
# Without a registry, name images that you have: --build-arg BASE_IMAGE=… --build-arg BUILD_IMAGE=…
ARG BUILD_IMAGE=docker.io/library/rust:1.95-bookworm
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot
ARG BINARY=compiled

FROM ${BUILD_IMAGE} AS compiled
ARG REVISION=unknown
ENV BUILD_REVISION=${REVISION}
WORKDIR /src
COPY . .
RUN cargo build --release --locked && mkdir /out && cp target/release/sipwarden /out/

FROM scratch AS prebuilt
COPY target/release/sipwarden /out/

FROM ${BINARY} AS binary

FROM ${BASE_IMAGE}
ARG REVISION=unknown
LABEL org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.title="sipwarden" \
      org.opencontainers.image.description="SIP dispatcher for Asterisk and FreeSWITCH: load balancing, failover, probes, metrics, traces" \
      org.opencontainers.image.source="https://github.com/sipwarden/sipwarden" \
      org.opencontainers.image.documentation="https://github.com/sipwarden/sipwarden/blob/main/README.md" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=binary /out/sipwarden /usr/local/bin/sipwarden
# In a container the loopback interface is of use to nobody: Prometheus comes from another one.
ENV SIPWARDEN_HTTP__LISTEN=0.0.0.0:9360
USER 65532:65532
EXPOSE 5060/udp 5060/tcp 9360/tcp
HEALTHCHECK --interval=3s --timeout=2s --start-period=5s --retries=3 CMD ["/usr/local/bin/sipwarden", "healthcheck"]
# Drains: see drain.timeout, which must be shorter than the grace period (Docker's is 10 s unless told).
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/sipwarden"]
CMD ["run", "-c", "/etc/sipwarden/sipwarden.yaml"]
