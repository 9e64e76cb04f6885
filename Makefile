# Tidemark: how it is built, tested and tried. `make` alone lists the targets.

SHELL         := /bin/bash
.SHELLFLAGS   := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.SUFFIXES:

# Go's archive unpacks to /usr/local/go; an ordinary user's PATH lacks sbin.
export PATH := $(PATH):/usr/local/go/bin:/usr/sbin:/sbin

PREFIX  ?= /usr/local
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS := $(if $(VERSION),-X main.version=$(VERSION))

# -p 2: tests that mount and measure are not crowded on a large machine.
# A package that has not ended after ten minutes hangs.
TESTFLAGS   ?= -race -shuffle=on -p 2 -timeout 10m
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

.PHONY: setup
setup: ## install what building and mounting need
	packaging/setup build mount

.PHONY: setup-test
setup-test: ## install what the tests need
	@packaging/setup test

.PHONY: build
build: ## compile bin/tidemark
	@packaging/setup go
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/tidemark ./cmd/tidemark

.PHONY: demo
demo: setup build ## three points of a small directory, mounted to look around in
	@packaging/demo

.PHONY: install
install: bin/tidemark ## copy bin/tidemark to PREFIX/bin (/usr/local/bin), below DESTDIR
	install -D -m 0755 bin/tidemark '$(DESTDIR)$(PREFIX)/bin/tidemark'

# Only if it is missing: whoever installs as root may have no Go.
bin/tidemark:
	@$(MAKE) build

.PHONY: test
test: setup-test ## install what the tests need, then all checks and tests
	@go run ./packaging/leftover $(MAKE) -k --no-print-directory lint fuzz unit FUZZTIME=$(or $(FUZZTIME),3s)

.PHONY: lint
lint: ## formatting, go vet, staticcheck, shellcheck
	@echo '==> gofmt'
	@files=$$("$$(go env GOROOT)/bin/gofmt" -s -l .); \
	test -z "$$files" || { echo "not formatted (gofmt -s -w mends it):"; echo "$$files"; exit 1; }
	@echo '==> go vet'
	@go vet ./...
	@echo '==> staticcheck'
	@go run $(STATICCHECK) ./...
	@echo '==> shellcheck'
	@find . \( -name .git -o -path ./bin \) -prune -o -type f -print0 \
	| xargs -0 awk 'FNR == 1 && /^#!.*[\/ ](ba|da)?sh/ { print FILENAME } { nextfile }' \
	| xargs shellcheck

.PHONY: unit
unit: ## Go tests, the architecture's among them: make unit PKG=./pack/...
	@echo '==> go test'
	@CGO_ENABLED=1 go test -json $(TESTFLAGS) $(or $(PKG),./...) | go run ./packaging/testlog

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (60s) each
	@echo '==> fuzz'
	@packaging/fuzz $(or $(FUZZTIME),60s)

.PHONY: test-large
test-large: ## what is promised of a million files: ten minutes, 5 GiB
	go test -tags large -run TestMillionFiles -count 1 -timeout 60m -v ./cmd/tidemark

.PHONY: bench
bench: ## benchmarks
	go test -run '^$$' -bench . -benchmem -timeout 60m $(or $(PKG),./...)

.PHONY: clean
clean: ## remove what make has built
	rm -rf bin
