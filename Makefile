# What one does with this repository. `make help` lists it.

LINT_VERSION := v2.15.0
FUZZTIME     ?= 15s

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/linkrelay: static, without paths of this machine
	CGO_ENABLED=0 go build -trimpath -o bin/linkrelay .

.PHONY: demo
demo: ## show everything at work; needs Go only
	go run . demo

.PHONY: test
test: tools ## run all tests, with the race detector, against a real redis-server and the embedded store
	go test -race ./...

.PHONY: tools
tools: ## install what the tests run (redis-server, node, python3, php, chromium and the like), where missing
	sh scripts/ensure-test-tools

.PHONY: bench
bench: tools ## measure against the targets; fails when one is missed
	go run ./internal/bench

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (15s)
	sh scripts/fuzz $(FUZZTIME)

.PHONY: check
check: fmt-check vet tidy-check lint ## everything that is checked without running the code

.PHONY: lint
lint: ## golangci-lint, built at its pinned version the first time
	sh scripts/golangci-lint $(LINT_VERSION) run ./...

.PHONY: fmt
fmt: ## format the Go code
	gofmt -w $$(git ls-files '*.go')

.PHONY: fmt-check
fmt-check: ## fail when a Go file is not formatted
	@unformatted="$$(gofmt -l $$(git ls-files '*.go'))"; \
	if [ -n "$$unformatted" ]; then printf 'not formatted (run make fmt):\n%s\n' "$$unformatted" >&2; exit 1; fi

.PHONY: vet
vet: ## go vet
	go vet ./...

.PHONY: tidy
tidy: ## make go.mod and go.sum what the code needs
	go mod tidy

.PHONY: tidy-check
tidy-check: ## fail when go.mod is not tidy or a module is not what go.sum says
	go mod tidy -diff
	go mod verify

.PHONY: docs
docs: ## rewrite what is generated: the README's table of settings
	go generate ./...

.PHONY: clean
clean: ## remove what the targets built
	rm -rf bin
