# One image for the server, the command line and the sidecar. Nothing is compiled here: it copies what `make build` made onto a
# base. `make image` builds it with the Docker that runs, for one platform or for several.
#
# BASE must hold /nodejs/bin/node (24), the libraries it needs, CA certificates and a temporary folder. A release names it by
# its digest. The default is public and has them, but is untried: where this is developed no image can be pulled.
ARG BASE=gcr.io/distroless/nodejs24-debian13:nonroot
# What tini is taken from: anything with Debian's apt.
ARG DEBIAN=debian:13-slim

# The files in one layer, whatever comes to be added here.
FROM scratch AS files
COPY dist/ /app/
COPY manifests/ /app/manifests/

FROM ${BASE} AS stepmemo
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="stepmemo" \
      org.opencontainers.image.description="Step-level memoization for Argo Workflows, from outside the workflow controller" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=files / /
# What the image is for: the server puts it beside no step that may run elsewhere.
ARG PLATFORMS=linux/amd64
ENV NODE_ENV=production STEPMEMO_SIDECAR_PLATFORMS=${PLATFORMS}
WORKDIR /app
USER 65532:65532
# 8443 webhooks, 8444 capture, 8080 health and metrics
EXPOSE 8443 8444 8080
ENTRYPOINT ["/usr/bin/tini-static", "--", "/nodejs/bin/node", "/app/stepmemo.mjs"]
CMD ["server"]

# In front of Node stands tini, so that the sidecar's exit code is 0 whatever happens to Node: Debian's package for the platform of
# the image, unpacked on the one of the builder. Nothing is emulated. (The local cluster pulls nothing, and has tini in its base.)
FROM --platform=${BUILDPLATFORM:-linux/amd64} ${DEBIAN} AS tini
ARG TARGETARCH=amd64
WORKDIR /tini
RUN dpkg --add-architecture "$TARGETARCH" && apt-get update && \
    apt-get download "tini:$TARGETARCH" && dpkg-deb --extract tini_*.deb .

FROM stepmemo
COPY --from=tini /tini/usr/bin/tini-static /usr/bin/tini-static
