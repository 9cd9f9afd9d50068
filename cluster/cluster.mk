# The local cluster; the top Makefile includes this. Settings: cluster/README.md.

.PHONY: cluster-up cluster-down cluster-status image

cluster-up: ## Start the local cluster and Argo Workflows in it (ARGO=4.0.5, 3.7.15, 3.4.17 or none)
	@cluster/up.sh

cluster-down: ## Stop the local cluster and remove all that it left, also after a crash
	@cluster/down.sh

cluster-status: ## Say what of the local cluster runs; fails when it is not up
	@cluster/status.sh

image: build ## Build the container image with Docker, and hand it to the local cluster if one is up (IMAGE=stepmemo:local)
	@cluster/image.sh
