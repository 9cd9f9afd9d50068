# stepmemo: every task of the project. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

# Packages are installed anew only when the lock file says something else than what is there.
node_modules/.package-lock.json: package.json package-lock.json
	npm ci --no-audit --no-fund
	@touch $@

SOURCES := $(shell find src scripts package.json -type f 2>/dev/null)
dist/stepmemo.mjs: node_modules/.package-lock.json $(SOURCES)
	npm run --silent build

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-18s %s\n", $$1, $$2}'

.PHONY: build
build: dist/stepmemo.mjs ## Bundle the server, the command line and the sidecar into dist/

.PHONY: executable
executable: node_modules/.package-lock.json ## Make the command line one file that needs no Node.js (PLATFORM=linux-x64 or linux-arm64)
	@mkdir -p dist
	node scripts/executable.ts $(or $(PLATFORM),linux-x64)

.PHONY: check
check: build ## Format, lint, types, licences, and whether the reference pages are what the code says
	npm run --silent check
	npm run --silent docs -- --check

.PHONY: fix
fix: node_modules/.package-lock.json ## Format, and apply the linter's safe fixes
	npm run --silent fix

.PHONY: docs
docs: build ## Write the reference pages (config, reasons, metrics, command line)
	npm run --silent docs

IMAGE ?= stepmemo:local
.PHONY: image
image: build ## Build the container image with the Docker that runs (IMAGE=…, BASE=…, PLATFORMS=linux/amd64,linux/arm64 with PUSH=1)
	docker build --tag '$(IMAGE)' $(if $(PLATFORMS),--platform '$(PLATFORMS)' --build-arg 'PLATFORMS=$(PLATFORMS)') $(if $(PUSH),--push) $(if $(BASE),--build-arg 'BASE=$(BASE)') \
	  --build-arg VERSION=$$(node -p 'require("./package.json").version') \
	  --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) .

.PHONY: manifests
manifests: node_modules/.package-lock.json ## Write manifests/base from the chart
	node scripts/manifests.ts "$$(cluster/build.sh helm 3 | tail -n 1)"

.PHONY: clean
clean: ## Remove what the build made (not the caches of the cluster)
	rm -rf dist coverage

.PHONY: test
test: ## All tests: check, unit, golden, integration, e2e, oracle; does its own set-up
	scripts/test.sh check unit integration move-policy e2e oracle

.PHONY: test-unit
test-unit: ## Unit and golden tests; need nothing but Node
	scripts/test.sh unit

.PHONY: test-file
test-file: build ## One file of tests: FILE=test/unit/step/decide-pod.test.ts
	npm exec -- vitest run --config test/vitest.config.ts $(FILE)

.PHONY: golden
golden: build ## Write the golden files anew; read the diff before you commit it
	npm exec -- vitest run --config test/vitest.config.ts --project unit test/golden --update

.PHONY: test-integration
test-integration: ## Tests against a real API server with the shipped RBAC
	scripts/test.sh integration

.PHONY: test-e2e
test-e2e: ## Tests on a real node with a real workflow-controller (ARGO=4.0.5)
	scripts/test.sh e2e

.PHONY: test-soak
test-soak: build ## Load, harm and faults on a real cluster for SOAK_MINUTES (20), by SEED (1)
	SOAK_MINUTES=$(or $(SOAK_MINUTES),20) SEED=$(or $(SEED),1) npm exec -- vitest run --config test/vitest.config.ts --project e2e-alone test/e2e/soak.test.ts

.PHONY: test-move-policy
test-move-policy: ## The move of memoize in the API server, held against the webhook's (API server of 1.37.2)
	scripts/test.sh move-policy

.PHONY: test-outage
test-outage: build ## Workflows of every kind while stepmemo is away, with each floor (K8S=1.37.2 for the policy's)
	OUTAGE=1 K8S=$(or $(K8S),1.37.2) npm exec -- vitest run --config test/vitest.config.ts --project e2e-alone test/e2e/outage.test.ts

.PHONY: test-scale
test-scale: build ## 10,000 pods, 100 namespaces and 10,000 entries on an API server: memory, start and admission
	SCALE=1 npm exec -- vitest run --config test/vitest.config.ts --project integration test/integration/scale.test.ts

.PHONY: test-argo-examples
test-argo-examples: build ## Argo's own examples without stepmemo, by pods and with look-ahead (ARGO=4.0.5 FILES=regexp)
	ARGO_EXAMPLES='$(or $(FILES),.)' npm exec -- vitest run --config test/vitest.config.ts --project e2e-alone test/e2e/argo-examples.test.ts

.PHONY: test-generated
test-generated: build ## Generated workflows without stepmemo, by pods and with look-ahead, on a cluster (ARGO=4.0.5 CASES=100 SEED=1)
	GENERATED=$(or $(CASES),100) SEED=$(or $(SEED),1) npm exec -- vitest run --config test/vitest.config.ts --project e2e-alone test/e2e/generated.test.ts

.PHONY: test-upgrade
test-upgrade: build ## Roll-back to an older version and the upgrade from it, under running workflows (PREVIOUS=v0.1.0, a tag or a commit)
	PREVIOUS=$(or $(PREVIOUS),v0.1.0) npm exec -- vitest run --config test/vitest.config.ts --project e2e-alone test/e2e/upgrade.test.ts

.PHONY: test-matrix
test-matrix: ## Integration on each API server (1.30.14, 1.34.4, 1.37.2), e2e on each supported Argo (4.0.5, 3.7.15, 3.4.17)
	scripts/test.sh matrix

.PHONY: demo
demo: build ## Show the main job on a real cluster (KUBECONFIG=… CONFIRM=1 for one of your own)
	scripts/demo.sh $(if $(filter command line,$(origin KUBECONFIG)),--kubeconfig '$(KUBECONFIG)')

.PHONY: bench
bench: node_modules/.package-lock.json ## Speed, as ratios measured in one run; needs no cluster
	node test/bench/run.ts

.PHONY: bench-cluster
bench-cluster: node_modules/.package-lock.json ## Speed of hits and misses on a cluster with Argo and stepmemo (KUBECONFIG=…)
	node test/bench/cluster.ts $(if $(filter command line,$(origin KUBECONFIG)),--kubeconfig '$(KUBECONFIG)')

.PHONY: bench-look-ahead
bench-look-ahead: node_modules/.package-lock.json ## Workflows whose steps are cached: look-ahead beside the pods' way, and NATIVE=1 Argo's own (KUBECONFIG=…)
	node test/bench/look-ahead.ts $(if $(filter command line,$(origin KUBECONFIG)),--kubeconfig '$(KUBECONFIG)') $(if $(NATIVE),--native)

.PHONY: look-ahead-oracle
look-ahead-oracle: node_modules/.package-lock.json ## Hold look-ahead against Argo's own controller (ARGO=4.0.5 CASES=1000 SEED=1)
	node test/oracle/look-ahead.ts "$$(cluster/build.sh look-ahead-oracle $(or $(ARGO),4.0.5) | tail -n 1)" $(or $(CASES),1000) $(or $(SEED),1)

include cluster/cluster.mk
