# replproxy. `make` lists the targets. Variables: PKG, RUN, FUZZTIME, DURATION, SEED, VERSION, ROUNDS, BASE.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c

PKG      ?= ./...
RUN      ?=
FUZZTIME ?= 10s
DURATION ?= 10m
SEED     ?=
VERSION  ?=
ROUNDS   ?=
BASE     ?=

# One package's tests may take this long, so that a hang shows its stacks; most take a few minutes.
TEST_TIMEOUT := 40m
RACE_TIMEOUT := 60m

# The version control stamp needs a repository that the builder owns, which CI's user often does not.
export GOFLAGS := $(GOFLAGS) -buildvcs=false

.DEFAULT_GOAL := help
.PHONY: help setup build release test race check deps traces vuln fuzz soak bench bench-diff demo demo-quorum pre-commit clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

setup: ## install what tests and demo need and what is missing: PostgreSQL 14 to 18, haproxy
	@.ci/setup

build: ## bin/replproxy, which knows its version and commit
	go build -trimpath -ldflags "$$(scripts/stamp)" -o bin/ ./cmd/replproxy

release: ## name the present commit a release: make release VERSION=vX.Y.Z
	@scripts/release '$(VERSION)'

test: setup ## every deterministic test, real servers included (PKG=, RUN= narrow it)
	go test -timeout $(TEST_TIMEOUT) $(if $(RUN),-run '$(RUN)') $(PKG)

race: setup ## the same with the race detector, in the proxies that tests start as well
	REPLPROXY_RACE=1 go test -race -timeout $(RACE_TIMEOUT) $(if $(RUN),-run '$(RUN)') $(PKG)

check: ## gofmt, vet, staticcheck, list of licences: the one that fails names itself
	@scripts/check $(PKG)

deps: ## write deps.txt, the list of modules and licences that `make check` holds
	cd tools && go run ./licences -root .. -write

traces: setup ## record the walsenders' traces anew from PostgreSQL 14 to 18 (conformance/trace/testdata)
	go test ./conformance/trace -run TestTraces -update

vuln: bin/govulncheck ## known vulnerabilities; fails when their database cannot be reached
	@scripts/vuln $(PKG)

fuzz: ## each fuzz target for FUZZTIME (10s)
	@scripts/fuzz $(FUZZTIME)

soak: setup ## long runs, DURATION each, recorded in docs/soak.md (WHAT="fuzz kill9 gate chaos pools away partitions operators networks hostile store sim slots majors systemd race loaded covered months")
	@DURATION=$(DURATION) SEED=$(SEED) scripts/soak $(or $(WHAT),fuzz kill9 chaos away partitions operators networks hostile store sim slots majors race)

pre-commit: ## what a commit must pass, in seconds: gofmt, vet and the rules of the root package
	@scripts/pre-commit

bench: setup ## figures beside direct connections, HAProxy, PgBouncer, a cascading standby and plain writers; ROUNDS=5, RUN=Sync narrows
	@ROUNDS='$(ROUNDS)' BASE='$(BASE)' scripts/bench '$(RUN)'

bench-diff: ## Go benchmarks of the hot paths beside those of another commit: make bench-diff BASE=commit; RUN= narrows
	@ROUNDS='$(ROUNDS)' scripts/benchdiff '$(BASE)' '$(RUN)'

demo: setup build ## a primary, one proxy and three standbys on this machine, under load
	bin/replproxy demo

demo-quorum: setup build ## three proxies with one quorum: voters are cut off, commits wait and go on
	bin/replproxy demo --quorum

clean: ## remove what make made here
	rm -rf bin
	go clean -testcache

bin/govulncheck: tools/go.mod tools/go.sum
	cd tools && go build -o ../bin/ golang.org/x/vuln/cmd/govulncheck
