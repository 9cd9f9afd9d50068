# One image for the server, the command line and the sidecar. Nothing is downloaded or compiled in this
# build: it copies what `make build` made onto a base. Its context is what `cluster/image.sh context DIR`
# lays out (dist/, manifests/, tini-static); `make image` does it all, onto a base made of the same parts.
#
# BASE must hold /nodejs/bin/node (24), the libraries it needs, CA certificates and a temporary folder.
# The default is public and has them, but is untried: where this is developed no image can be pulled.
ARG BASE=gcr.io/distroless/nodejs24-debian13:nonroot

# The files in one layer, whatever comes to be added here.
FROM scratch AS files
# In front of Node, so that the sidecar's exit code is 0 whatever happens to Node. Debian's package tini.
COPY tini-static /usr/bin/tini-static
COPY dist/ /app/
COPY manifests/ /app/manifests/

FROM ${BASE}
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="stepmemo" \
      org.opencontainers.image.description="Step-level memoization for Argo Workflows, from outside the workflow controller" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=files / /
ENV NODE_ENV=production
WORKDIR /app
USER 65532:65532
# 8443 webhooks, 8444 capture, 8080 health and metrics
EXPOSE 8443 8444 8080
ENTRYPOINT ["/usr/bin/tini-static", "--", "/nodejs/bin/node", "/app/stepmemo.mjs"]
CMD ["server"]
