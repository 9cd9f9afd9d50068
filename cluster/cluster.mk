# The local cluster; the top Makefile includes this. Settings: cluster/README.md.

.PHONY: cluster-up cluster-down cluster-status cluster-image test-image

cluster-up: ## Start the local cluster and Argo Workflows in it (ARGO=4.0.5, 3.7.15, 3.4.17 or none)
	@cluster/up.sh

cluster-down: ## Stop the local cluster and remove all that it left, also after a crash
	@cluster/down.sh

cluster-status: ## Say what of the local cluster runs; fails when it is not up
	@cluster/status.sh

cluster-image: build ## Build the image for the local cluster, with a Docker of its own, and hand it over if the cluster is up
	@cluster/image.sh

test-image: build ## Build the image for amd64 and arm64 as a release does, join both in a registry of this machine, and look at them
	@cluster/test-image.sh
