# Everything comes from Go modules: a fresh machine needs Go, make and git.
# `make` alone lists the targets. Variables: GO, VERSION, FUZZTIME, BENCHFLAGS, and
# for images IMAGE_REPOSITORY, IMAGE_TAGS, IMAGE_ARCHS, TO.

GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FUZZTIME ?= 20s
BENCHFLAGS ?=

LDFLAGS   = -s -w -X main.version=$(VERSION)
# The version is stamped by -X; VCS stamping would only add a way to fail.
# The compiler is told where the receiver spends its time (profile-guided
# optimization). `make pgo` makes the profile anew.
PGO       = $(CURDIR)/hack/receiver.pgo
GOBUILD   = CGO_ENABLED=0 $(GO) build -buildvcs=false -trimpath -pgo=$(PGO) -ldflags '$(LDFLAGS)'
# Images are the same whoever packs them: nothing of the machine gets in.
IMAGEENV  = GOOS=linux GOAMD64=v1 GOARM64=v8.0 GOFLAGS= GOEXPERIMENT= GOWORK=off
IMAGES    = $(GO) run -C hack/images .
IMAGE_REPOSITORY ?= docker.io/fairlead
IMAGE_TAGS       ?= $(VERSION)
IMAGE_ARCHS      ?= amd64 arm64
REVISION         ?= $(shell git rev-parse HEAD 2>/dev/null)
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null)
GEN       = $(GO) tool controller-gen
TOOLS     = -modfile=$(CURDIR)/hack/tools/go.mod
# The kube-api-linter binary is golangci-lint with one more linter in it.
LINT      = $(GO) tool $(TOOLS) golangci-lint-kube-api-linter

# Modules with code of ours.
MODULES   = . hack/bench hack/images hack/gitops
# Helm, to test the chart with: costly to build, so `make test` leaves it out.
CHARTMODULE = hack/chart/helm
# Modules that only say which version of a tool is built.
TOOLMODULES = hack/tools hack/cluster/k8s hack/cluster/kwok hack/cluster/containerd hack/cluster/cni hack/cluster/coredns
# Of the cluster that is built and started: 3 has a node with real pods.
LEVEL     ?= 2

export GO FUZZTIME MODULES

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: fairlead
fairlead: ## Build bin/fairlead only, which is all that a first try needs
	@mkdir -p bin
	@echo "building bin/fairlead $(VERSION) (minutes, where Go's caches are empty)"
	@$(GOBUILD) -o bin/fairlead ./cmd/fairlead

.PHONY: build
build: fairlead ## Build bin/fairlead, bin/receiver and bin/operator, static and trimmed
	@echo "building bin/receiver and bin/operator $(VERSION)"
	@$(GOBUILD) -o bin/receiver ./receiver
	@$(GOBUILD) -pgo=off -o bin/operator ./controllers

.PHONY: images
images: ## Pack container images into dist/images, without a container engine (hack/images/README.md)
	@set -e; for arch in $(IMAGE_ARCHS); do to=dist/bin/linux-$$arch; mkdir -p $$to; \
		echo "building the programs for linux/$$arch, $(VERSION)"; export $(IMAGEENV) GOARCH=$$arch; \
		$(GOBUILD) -o $$to/receiver ./receiver; $(GOBUILD) -pgo=off -o $$to/operator ./controllers; \
		$(GOBUILD) -o $$to/fairlead ./cmd/fairlead; $(GOBUILD) -pgo=off -o $$to/moderator ./config/samples/moderator; done
	@$(IMAGES) pack --go '$(GO)' --binaries $(CURDIR)/dist/bin --source $(CURDIR) --out $(CURDIR)/dist/images \
		--version '$(VERSION)' --revision '$(REVISION)' --created '$(SOURCE_DATE_EPOCH)' --repository '$(IMAGE_REPOSITORY)' \
		$(addprefix --tag=,$(IMAGE_TAGS)) $(addprefix --arch=,$(IMAGE_ARCHS))

.PHONY: images-push
images-push: ## Push what `make images` packed: make images-push TO=registry.example.com/team
	@[ -n '$(TO)' ] || { echo 'say where to: make images-push TO=registry.example.com/team' >&2; exit 1; }
	@$(IMAGES) push --from $(CURDIR)/dist/images --to='$(TO)'

.PHONY: images-check
images-check: ## Pack the last commit twice, and fail unless the images are the same to the bit (FRESH=1 compiles anew)
	@GO='$(GO)' hack/images/check.sh

.PHONY: release-archives
release-archives: ## Pack the user's tool for each platform into dist/archives, with krew's manifest (hack/krew/README.md)
	@set -e; for p in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64; do os=$${p%/*} arch=$${p#*/}; \
		to=dist/bin/$$os-$$arch; mkdir -p $$to; exe=; [ $$os != windows ] || exe=.exe; echo "building fairlead for $$p, $(VERSION)"; \
		export $(IMAGEENV) GOOS=$$os GOARCH=$$arch; $(GOBUILD) -o $$to/fairlead$$exe ./cmd/fairlead; done
	@rm -rf dist/archives
	@$(GO) run ./hack/krew --binaries dist/bin --licence LICENSE --out dist/archives --version '$(VERSION)' --created '$(SOURCE_DATE_EPOCH)'

.PHONY: pgo
pgo: ## Profile the receiver under load for the compiler (then commit hack/receiver.pgo)
	@echo "profiling the receiver for 20 s"
	@mkdir -p bin
	@$(GO) test ./receiver/server -run '^$$' -bench '^BenchmarkServe$$' -benchtime 20s -cpuprofile $(PGO) -o bin/server.test

.PHONY: demo
demo: fairlead ## Build, play both providers at a receiver, show what reached the sink
	@bin/fairlead demo config/samples

.PHONY: demo-cluster
demo-cluster: build cluster-binaries ## Show the operator at work on a control plane that goes again
	@$(GO) run ./hack/cluster/demo

.PHONY: test
test: ## Vet and test every module, with the race detector if there is a C compiler
	@hack/test.sh

.PHONY: chart-test
chart-test: cluster-binaries ## Test the Helm chart with Helm itself: goldens, lint, and installs on a control plane
	@cd $(CHARTMODULE) && CGO_ENABLED=0 $(GO) vet ./... && CGO_ENABLED=0 $(GO) test -count=1 -timeout 10m ./...

.PHONY: e2e
e2e: ## Install Fairlead on a real cluster and try everything there (root, Linux; hack/e2e/README.md)
	@hack/e2e/run.sh full

.PHONY: e2e-short
e2e-short: ## The same in about three minutes: install, serve, refuse, deliver, roll, uninstall
	@hack/e2e/run.sh short

.PHONY: e2e-table
e2e-table: ## As e2e, and put the table into hack/e2e/README.md
	@hack/e2e/run.sh full -table $(CURDIR)/hack/e2e/README.md

.PHONY: cluster-test
cluster-test: LEVEL = 3
cluster-test: cluster-binaries ## Bring up clusters with real pods, and try what they are there for (root on Linux; `hack/cluster/cp.sh able`)
	@FAIRLEAD_E2E=1 $(GO) test ./hack/cluster -count=1

.PHONY: cluster-binaries
cluster-binaries: ## Build the Kubernetes control plane that tests use, if it is not there (LEVEL=3: and a node)
	@hack/cluster/build.sh --level $(LEVEL)

.PHONY: cluster-up
cluster-up: cluster-binaries ## Start a control plane on the loopback address (LEVEL=3: a cluster with real pods; hack/cluster/README.md)
	@hack/cluster/cp.sh up --level $(LEVEL)

.PHONY: cluster-down
cluster-down: ## Stop that cluster, and remove its data
	@hack/cluster/cp.sh down

.PHONY: check
check: check-generate check-tidy lint test chart-test vuln ## What a change must pass: generate and tidy with no diff, lint, tests, the chart's tests, known vulnerabilities

.PHONY: check-generate
check-generate: ## Fail if `make generate` changes a file
	@hack/check-generate.sh

.PHONY: check-tidy
check-tidy: ## Fail if `make tidy` would change a file
	@for m in $(MODULES) $(CHARTMODULE) $(TOOLMODULES); do (cd $$m && $(GO) mod tidy -diff) || \
		{ echo "$$m/go.mod or go.sum is not tidy: run make tidy" >&2; exit 1; }; done
	@echo "every module is tidy"

.PHONY: lint
lint: ## Run the linters, kube-api-linter among them; on scripts, shellcheck if it is there
	@for m in $(MODULES) $(CHARTMODULE); do echo "linting $$m"; \
		(cd $$m && $(LINT) run -c $(CURDIR)/.golangci.yml ./...) || exit 1; done
	@if command -v shellcheck >/dev/null; then echo "linting shell scripts"; \
		shellcheck .ci/run $$(git ls-files -co --exclude-standard '*.sh'); \
		else echo "NOTE: shellcheck is not installed: the shell scripts were NOT linted."; fi

.PHONY: vuln
vuln: ## Look for known vulnerabilities in what is called
	@MODULES='$(MODULES) $(CHARTMODULE)' hack/vuln.sh

.PHONY: generate
generate: ## Make deep copies, CRDs, roles, the API reference and the chart's parts from the code
	@echo "generating deep copies, CRDs, roles, api/README.md and parts of charts/fairlead"
	@$(GEN) object:headerFile=hack/boilerplate.go.txt paths=./api/v1alpha1/...
	@$(GEN) crd paths=./api/v1alpha1/... output:crd:dir=config/crd
	@$(GO) run ./hack/rbac -go $(GO) -out config
	@$(GO) run ./hack/apidoc -crds config/crd -conditions api/v1alpha1/conditions.go -out api/README.md
	@$(GO) run ./hack/chart -config config -chart charts/fairlead

.PHONY: bench
bench: build ## Measure against the yardstick and print the ratio table (BENCHFLAGS="--rounds 5")
	@cd hack/bench && $(GO) run . run --fairlead $(CURDIR)/bin/fairlead --receiver $(CURDIR)/bin/receiver $(BENCHFLAGS)

.PHONY: bench-backlog
bench-backlog: ## Measure a queue with a million deliveries, from the outage to the recovery
	@$(GO) test ./receiver/dispatch -run '^$$' -bench '^BenchmarkBacklog$$' -benchtime 1x -timeout 20m

.PHONY: faults
faults: ## Crash the queue at every step of a run, and compare it with its model 20,000 times (FAIRLEAD_SEED repeats)
	@FAIRLEAD_FAULTS=all FAIRLEAD_MODEL_RUNS=$${FAIRLEAD_MODEL_RUNS:-20000} $(GO) test ./receiver/queue/embedded -run 'Fault|Model|Crash' -count=1 -timeout 60m

.PHONY: bench-operator
bench-operator: build cluster-binaries ## Measure the operator with 1,000 endpoints (BENCHFLAGS="--endpoints 100")
	@$(GO) run ./hack/bench-operator --operator $(CURDIR)/bin/operator $(BENCHFLAGS)

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME (20s)
	@hack/fuzz.sh

.PHONY: fmt
fmt: ## Format the code
	@gofmt -l -w $$(git ls-files -co --exclude-standard '*.go')

.PHONY: tidy
tidy: ## Tidy every go.mod
	@for m in $(MODULES) $(CHARTMODULE) $(TOOLMODULES); do echo "tidying $$m"; (cd $$m && $(GO) mod tidy) || exit 1; done

.PHONY: clean
clean: ## Remove what was built
	@rm -rf bin dist
